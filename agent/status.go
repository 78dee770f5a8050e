package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"neutrino"
	"neutrino/feed"
	"neutrino/host"
	"neutrino/host/conntrack"
	"neutrino/reconcile"
	"neutrino/view"
)

// Status is what an agent says of itself.
type Status struct {
	Host      string `json:"host"`
	Connected bool   `json:"connected"`
	// Problem says why there is no connection.
	Problem string `json:"connection_problem,omitempty"`
	// NotUsed says why the view that the server offers is not used, "" when it is.
	NotUsed string `json:"view_not_used,omitempty"`
	// Refused is set while the server turns the agent away.
	Refused bool `json:"refused,omitempty"`
	// ServerVersion is the server's program's, and ServerKnows the attributes that it
	// knows and the agent does not: objects that have them are refused.
	ServerVersion string   `json:"server_version,omitempty"`
	ServerKnows   []string `json:"server_knows,omitempty"`
	// Revision is that of the view acted on, 0 before the first; Stored is set
	// while that view is the one from the host's disk.
	Revision int64 `json:"revision"`
	Stored   bool  `json:"stored_view"`
	// LastSync, Took (in nanoseconds), Puts and Drops are of the last pass.
	LastSync time.Time     `json:"last_sync"`
	Took     time.Duration `json:"last_sync_duration"`
	Puts     int           `json:"puts"`
	Drops    int           `json:"drops"`
	// Passes, AllPuts and AllDrops count since the agent's start.
	Passes   int `json:"passes"`
	AllPuts  int `json:"all_puts"`
	AllDrops int `json:"all_drops"`
	// Pending waits for others; Errors are tried again until they work.
	Pending []Trouble `json:"pending"`
	Errors  []Trouble `json:"errors"`
	// Noticed is wrong around objects that are as planned, and stay in use.
	Noticed []Trouble `json:"noticed"`
	// Fuse is what is in force although the view lacks it, absent for nothing.
	Fuse *HeldStatus `json:"fuse,omitempty"`
	// Repaired is what others changed and the agent put right, newest last, as
	// far as it is remembered.
	Repaired []Repair `json:"repaired"`
	// Metering is what metering labels counted, read when the status is asked for;
	// MeteringProblem says why some of it is missing.
	Metering        []Metered `json:"metering,omitempty"`
	MeteringProblem string    `json:"metering_problem,omitempty"`
	// Conntrack is how full the connection tables of the host and of its routers
	// are, read when the status is asked for; ConntrackProblem says why it is not known.
	Conntrack        []conntrack.Table `json:"conntrack,omitempty"`
	ConntrackProblem string            `json:"conntrack_problem,omitempty"`
}

// shared is what the loop shows to others.
type shared struct {
	mu     sync.Mutex
	status Status
	view   *view.Host
	state  *host.State
	held   []view.Key // by the fuse
}

func (s *shared) update(a *Agent, v feed.View, res reconcile.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	st.Revision, st.Stored = v.Revision, v.Stored
	st.LastSync, st.Took = a.lastEnd, a.lastTook
	st.Puts, st.Drops = res.Puts, res.Drops
	st.Passes++
	st.AllPuts += res.Puts
	st.AllDrops += res.Drops
	st.Pending = a.tracker.list(of(neutrino.Waiting))
	st.Errors = a.tracker.list(of(neutrino.Failing))
	st.Noticed = a.tracker.list(of(neutrino.Noticed))
	st.Fuse, s.held = a.guard.status(), a.guard.held
	st.Repaired = slices.Clone(a.tracker.repairs)
	s.view, s.state = a.planned, a.state
}

// noticed shows what is wrong while there is no view yet.
func (s *shared) noticed(a *Agent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Noticed = a.tracker.list(of(neutrino.Noticed))
}

// Status is the agent's present status, without what is metered.
func (a *Agent) Status() Status {
	a.shared.mu.Lock()
	st := a.shared.status
	a.shared.mu.Unlock()
	c := a.deps.Source.State()
	st.Host, st.Connected, st.Problem = a.config.Host, c.Connected, c.Problem
	st.Refused, st.ServerVersion, st.ServerKnows = c.Refused, c.Version, c.Lacks
	st.NotUsed = c.NotUsed
	return st
}

// serveStatus answers GET /status (JSON), /view and /plan (text).
func (a *Agent) serveStatus(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		st := a.Status()
		var err error
		if st.Metering, err = a.metered(r.Context()); err != nil {
			st.MeteringProblem = err.Error()
		}
		if st.Conntrack, err = a.occupancy(r.Context()); err != nil {
			st.ConntrackProblem = err.Error()
		}
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		// A caller that went away needs no answer.
		_ = enc.Encode(st)
	})
	mux.HandleFunc("POST /release", a.release)
	mux.HandleFunc("GET /view", a.text(func() string {
		if a.shared.view == nil {
			return ""
		}
		return view.Text(a.shared.view)
	}))
	mux.HandleFunc("GET /plan", a.text(func() string {
		if a.shared.state == nil {
			return ""
		}
		return a.shared.state.Text()
	}))
	a.serveStore(mux)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: statusTimeout}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("agent: status: %w", err)
	}
	return nil
}

// text answers what get makes out of the shared state. Views and plans are
// replaced, never changed, so the text could be made outside the lock too; the
// loop waits some milliseconds at most.
func (a *Agent) text(get func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		a.shared.mu.Lock()
		s := get()
		a.shared.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		// A caller that went away needs no answer.
		_, _ = io.WriteString(w, s)
	}
}

const statusTimeout = 5 * time.Second

// maxWords is how much of an answer's reason is read, in bytes.
const maxWords = 1 << 10

// ReadStatus asks the agent that answers on the socket.
func ReadStatus(ctx context.Context, socket string) (Status, error) {
	var st Status
	b, err := get(ctx, socket, "/status")
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil {
		return st, fmt.Errorf("agent: status from %s: %w", socket, err)
	}
	return st, nil
}

// ReadView is the text of the view that the agent acts on.
func ReadView(ctx context.Context, socket string) (string, error) {
	return readText(ctx, socket, "/view")
}

// ReadPlan is the text of the plan that the agent acts on.
func ReadPlan(ctx context.Context, socket string) (string, error) {
	return readText(ctx, socket, "/plan")
}

func readText(ctx context.Context, socket, path string) (string, error) {
	b, err := get(ctx, socket, path)
	if err != nil {
		return "", fmt.Errorf("agent: %s from %s: %w", path, socket, err)
	}
	return string(b), nil
}

// Release gives up what the fuse of the agent holds. objects is how many that is,
// as [Status] says: with another number nothing is released, and the error says so.
func Release(ctx context.Context, socket string, objects int) error {
	if _, err := ask(ctx, socket, http.MethodPost, fmt.Sprintf("/release?objects=%d", objects)); err != nil {
		return fmt.Errorf("agent: release: %w", err)
	}
	return nil
}

func get(ctx context.Context, socket, path string) ([]byte, error) {
	return ask(ctx, socket, http.MethodGet, path)
}

func ask(ctx context.Context, socket, method, path string) ([]byte, error) {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: statusTimeout}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, maxWords))
		return nil, fmt.Errorf("answered %s: %s", resp.Status, strings.TrimSpace(string(why)))
	}
	return io.ReadAll(resp.Body)
}
