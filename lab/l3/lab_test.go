package l3

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/agent"
	"neutrino/lab"
)

// runningLab names the directory of the lab that the stories run on: that of
// the parent, or a person's own.
const runningLab = "NEUTRINO_L3_LAB"

// downTime is how long this lab's server waits for a heartbeat. Neutron's own
// is 75 s, with a heartbeat each 30 s.
const downTime = 5 * time.Second

// TestMain brings one lab with two network and two compute hosts up, runs the
// stories in a child and takes the lab down, also when the child panics or runs
// into its timeout.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() || os.Geteuid() != 0 || os.Getenv(runningLab) != "" {
		os.Exit(m.Run())
	}
	// The child gets the terminal's Ctrl-C too and ends by it; we clean up.
	ignored := make(chan os.Signal, 8)
	signal.Notify(ignored, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	code, err := inALab()
	if err != nil {
		fmt.Fprintln(os.Stderr, "l3:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// impatient has the lab's server and agents, whose environment is ours, notice
// a dead host soon, and look at the whole of their hosts often.
func impatient() error {
	return errors.Join(os.Setenv("NEUTRINO_AGENT_DOWN_TIME", fmt.Sprint(int(downTime.Seconds()))),
		os.Setenv("NEUTRINO_AGENT_REPORT_INTERVAL", "1"), os.Setenv("NEUTRINO_NEUTRINO_AUDIT_INTERVAL", "10"))
}

func inALab() (code int, err error) {
	dir, err := os.MkdirTemp("", "l3-")
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
	l, err := lab.New(ctx, lab.Settings{Name: filepath.Base(dir), Dir: filepath.Join(dir, "lab"), Binary: binary, Networks: 2, Computes: 2})
	if err == nil {
		err = impatient()
	}
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
	ctx     context.Context
	lab     *lab.Lab
	api     *lab.Client
	outside *lab.Host
	hosts   []*lab.Host // with an agent
	vm      *lab.Guest
}

const (
	agentProcess  = "neutrino-agent"
	serverProcess = "neutrino-server"
	patience      = 20 * time.Second
)

func story(t *testing.T) *world {
	t.Helper()
	dir := os.Getenv(runningLab)
	if dir == "" {
		t.Skip("SKIPPED: NOT ROOT, OR -short. The stories of routers need a lab of their own; run them with sudo.")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	l, err := lab.New(ctx, lab.Settings{Name: filepath.Base(filepath.Dir(dir)), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, ctx: ctx, lab: l, api: l.Client()}
	w.must(impatient())
	w.outside, err = l.Host(lab.RoleOutside)
	w.must(err)
	w.vm, err = l.Guest(lab.SeedVM)
	w.must(err)
	for _, h := range l.Hosts() {
		if h.Role == lab.RoleNetwork || h.Role == lab.RoleCompute {
			w.hosts = append(w.hosts, h)
		}
	}
	w.asWanted()
	return w
}

// with is the world for a story's part.
func (w *world) with(t *testing.T) *world {
	part := *w
	part.T = t
	return &part
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

func (w *world) status(h *lab.Host) (agent.Status, error) {
	var st agent.Status
	out, err := h.Run(w.ctx, w.lab.Binary, "agent", "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &st)
	}
	return st, err
}

// asWanted waits until no host has anything to say.
func (w *world) asWanted() {
	w.Helper()
	for _, h := range w.hosts {
		w.until(patience, func() error { return w.quiet(h) })
	}
}

func (w *world) quiet(h *lab.Host) error {
	st, err := w.status(h)
	if err == nil && (len(st.Errors)+len(st.Pending) > 0 || !st.Connected || st.Passes == 0) {
		err = fmt.Errorf("%s: connected %v, passes %d, errors %v, pending %v", h.Name, st.Connected, st.Passes, st.Errors, st.Pending)
	}
	return err
}

// routerHost is the host that runs a router, and the other one.
func (w *world) routerHost(router string) (runs, other *lab.Host) {
	w.Helper()
	runs, err := w.lab.RouterHost(w.ctx, router)
	w.must(err)
	for _, h := range w.hosts {
		if h.Role == lab.RoleNetwork && h.Name != runs.Name {
			other = h
		}
	}
	return runs, other
}

// one is the one object that the filters name.
func (w *world) one(collection string, q lab.Query) lab.Object {
	w.Helper()
	found, err := w.api.List(w.ctx, collection, q)
	w.must(err)
	if len(found) != 1 {
		w.Fatalf("%d %s with %v, want one", len(found), collection, q)
	}
	return found[0]
}

// ping is a ping from outside.
func (w *world) ping(to string, pace time.Duration) *Ping {
	w.Helper()
	p, err := StartPing(w.outside, netip.MustParseAddr(to), pace)
	w.must(err)
	return p
}

// renew lets the VM renew its lease (RFC 2131, 4.4.5) and wants an ACK without
// a NAK before it.
func (w *world) renew() error {
	out, err := w.vm.Exec(w.ctx, "n=$(wc -l </run/udhcpc.log); killall -USR1 udhcpc; for i in 1 2 3 4 5 6 7 8; do "+
		"tail -n +$((n+1)) /run/udhcpc.log | grep -q obtained && break; usleep 250000; done; tail -n +$((n+1)) /run/udhcpc.log")
	if err == nil && (!strings.Contains(out.Stdout, "lease of "+lab.SeedIP+" obtained") || strings.Contains(out.Stdout, "NAK")) {
		err = fmt.Errorf("renewal: %s", out.Stdout)
	}
	return err
}

// metadata has an instance read its own id.
func (w *world) metadata(g *lab.Guest) error {
	out, err := g.Exec(w.ctx, lab.Fetch("http://169.254.169.254/latest/meta-data/instance-id"))
	if err == nil && strings.TrimSpace(out.Stdout) != g.UUID {
		err = fmt.Errorf("metadata: %q %s", out.Stdout, out.Stderr)
	}
	return err
}

func quantile(samples []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(int(math.Ceil(q*float64(len(sorted)))), 1)-1]
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	return strings.Fields(string(b) + " ?")[0]
}
