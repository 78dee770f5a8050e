// Package faults is the stories of what goes wrong: on a running lab things are
// killed, deleted, filled up and forged, and each story looks at what others
// notice (nothing), what is reported, and how soon it is repaired.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/agent"
	"neutrino/lab"
)

// runningLab names the directory of a lab that is up already. The stories run
// in a child that is told of its lab by it; a person may set it to his own lab.
const runningLab = "NEUTRINO_FAULTS_LAB"

// TestMain brings one lab up, runs the stories in a child and takes the lab
// down, also when the child panics or runs into its timeout.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == framesCommand {
		os.Exit(framesMain(os.Args[2:], os.Stdin, os.Stdout))
	}
	flag.Parse()
	if testing.Short() || os.Geteuid() != 0 || os.Getenv(runningLab) != "" {
		os.Exit(m.Run())
	}
	// The child gets the terminal's Ctrl-C too and ends by it; we clean up.
	ignored := make(chan os.Signal, 8)
	signal.Notify(ignored, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	code, err := inALab()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func inALab() (code int, err error) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	binary := filepath.Join(dir, "neutrino")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "neutrino/cmd/neutrino")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, errors.Join(fmt.Errorf("build: %w: %s", err, out), os.RemoveAll(dir))
	}
	l, err := lab.New(ctx, lab.Settings{Name: filepath.Base(dir), Dir: filepath.Join(dir, "lab"), Binary: binary})
	if err != nil {
		return 1, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		err = errors.Join(err, l.Down(context.Background()), os.Remove(binary), os.Remove(dir))
	}()
	var said strings.Builder
	l.Progress = &said
	if _, err := l.Up(ctx, lab.UpOptions{}); err != nil {
		return 1, fmt.Errorf("up: %w\n%s", err, said.String())
	}
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), runningLab+"="+l.Dir)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// world is the lab as a story sees it.
type world struct {
	*testing.T
	ctx      context.Context
	lab      *lab.Lab
	api      *lab.Client
	compute  *lab.Host
	network  *lab.Host
	server   *lab.Host
	seed     string // id of the seed's network
	dhcpPort string // id of its DHCP port
}

const (
	agentProcess  = "neutrino-agent"
	serverProcess = "neutrino-server"
	dhcpRoot      = "/var/lib/neutron/dhcp"
)

// story opens the running lab, and checks before and after that everything on
// it is as wanted: no story leaves a fault to the next.
func story(t *testing.T) *world {
	t.Helper()
	dir := os.Getenv(runningLab)
	if dir == "" {
		t.Skip("SKIPPED: NOT ROOT, OR -short. The stories of faults need a lab of their own; run them with sudo.")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Settings{Name: filepath.Base(filepath.Dir(dir)), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, ctx: ctx, lab: l, api: l.Client()}
	for name, h := range map[string]**lab.Host{"compute1": &w.compute, "network1": &w.network, "controller": &w.server} {
		if *h, err = l.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	w.seed = w.list("networks", lab.Query{"name": lab.SeedNetwork})[0].ID()
	w.dhcpPort = w.list("ports", lab.Query{"network_id": w.seed, "device_owner": "network:dhcp"})[0].ID()
	w.asWanted(20 * time.Second)
	t.Cleanup(func() {
		if !t.Failed() {
			w.asWanted(20 * time.Second)
		}
	})
	return w
}

// must ends the story on an error.
func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// until asks again until the answer is nil, and returns how long that took.
func (w *world) until(limit time.Duration, ask func() error) time.Duration {
	w.Helper()
	began := time.Now()
	for {
		err := ask()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > limit || w.ctx.Err() != nil {
			w.Fatalf("not within %v: %v", limit, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sh runs a shell text on a host; a code other than 0 ends the story.
func (w *world) sh(h *lab.Host, text string) string {
	w.Helper()
	out, err := h.Run(w.ctx, "sh", "-ec", text)
	w.must(err)
	return out
}

// look is sh without ending the story.
func (w *world) look(h *lab.Host, text string) (string, error) {
	return h.Run(w.ctx, "sh", "-ec", text)
}

func (w *world) list(collection string, q lab.Query) []lab.Object {
	w.Helper()
	out, err := w.api.List(w.ctx, collection, q)
	w.must(err)
	if len(out) == 0 {
		w.Fatalf("no %s with %v", collection, q)
	}
	return out
}

// create makes an object that goes with the story's end.
func (w *world) create(collection string, body lab.Object) lab.Object {
	w.Helper()
	o, err := w.api.Create(w.ctx, collection, body)
	w.must(err)
	w.Cleanup(func() { w.late(w.api.Delete(context.Background(), collection, o.ID())) })
	return o
}

// late notes the error of a cleanup.
func (w *world) late(err error) {
	if err != nil {
		w.Errorf("cleanup: %v", err)
	}
}

// instance makes a light instance with its lease, which goes with the story.
func (w *world) instance(s lab.InstanceSpec) *lab.Guest {
	w.Helper()
	s.Kind = lab.KindNamespace
	if s.Network == "" {
		s.Network = w.seed
	}
	g, err := w.lab.AddInstance(w.ctx, s)
	w.must(err)
	w.Cleanup(func() { w.late(w.lab.RemoveInstance(context.Background(), s.Name)) })
	w.must(g.AwaitActive(w.ctx))
	_, err = g.AwaitLease(w.ctx)
	w.must(err)
	return g
}

// status is what `neutrino agent status` says on a host.
func (w *world) status(h *lab.Host) (agent.Status, error) {
	var st agent.Status
	out, err := h.Run(w.ctx, w.lab.Binary, "agent", "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	return st, err
}

// asWanted waits until no host has anything to say.
func (w *world) asWanted(limit time.Duration) {
	w.Helper()
	w.until(limit, func() error { return errors.Join(w.quiet(w.compute), w.quiet(w.network)) })
}

func (w *world) quiet(h *lab.Host) error {
	st, err := w.status(h)
	if err == nil && (len(st.Errors)+len(st.Pending) > 0 || !st.Connected || st.Passes == 0) {
		err = fmt.Errorf("%s: connected %v, passes %d, errors %v, pending %v", h.Name, st.Connected, st.Passes, st.Errors, st.Pending)
	}
	return err
}

// reportTime is how long a report may take: a connection that is gone is
// waited for a few seconds before it counts as lost.
const reportTime = 8 * time.Second

// reported waits until a host's status names the object with the words in its reason.
func (w *world) reported(h *lab.Host, object, words string) agent.Trouble {
	w.Helper()
	var found agent.Trouble
	took := w.until(reportTime, func() error {
		st, err := w.status(h)
		for _, t := range append(st.Errors, st.Pending...) {
			if strings.Contains(t.Object, object) && strings.Contains(t.Reason, words) {
				found = t
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("%s does not report %s with %q: errors %v, pending %v", h.Name, object, words, st.Errors, st.Pending))
	})
	w.Logf("reported after %v: %s: %s", took.Round(time.Millisecond), found.Object, found.Reason)
	return found
}

// journal is a host's agent log from now on.
type journal struct {
	path   string
	offset int64
}

func (w *world) journal(h *lab.Host) journal {
	w.Helper()
	st, err := os.Stat(h.LogFile(agentProcess))
	w.must(err)
	return journal{h.LogFile(agentProcess), st.Size()}
}

func (j journal) text() string {
	f, err := os.Open(j.path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, j.offset, 1<<20))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// says wants a line with all words in the log.
func (j journal) says(words ...string) error {
	for line := range strings.Lines(j.text()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			return nil
		}
	}
	return fmt.Errorf("no line of %s has %q:\n%s", j.path, words, j.text())
}

// portStatus is the status of a port in the API.
func (w *world) portStatus(id, want string) error {
	p, err := w.api.Get(w.ctx, "ports", id)
	if err == nil && p.Text("status") != want {
		err = fmt.Errorf("port %s is %s, want %s", id, p.Text("status"), want)
	}
	return err
}
