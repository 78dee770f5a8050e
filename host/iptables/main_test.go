package iptables

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/reconcile"
)

const insideEnv = "NEUTRINO_TEST_INSIDE"

// TestMain runs the tests again in network and mount namespaces of their own,
// so that nothing reaches the machine's rules.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" { // or our mounts would reach the machine
		if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
			panic(err)
		}
	}
	if os.Geteuid() != 0 || os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		os.Stderr.WriteString("in its own namespaces: " + err.Error() + "\n")
		os.Exit(1)
	}
}

const (
	prefix = "neutron-openvswi-"
	top    = "neutron-filter-top"
)

// kernel is an engine on this process's own network namespace.
func kernel(t testing.TB, namespaces ...string) *Engine {
	t.Helper()
	if testing.Short() || os.Getenv(insideEnv) == "" {
		t.Skip("SKIPPED, NOT TESTED: iptables on the real kernel needs root")
	}
	for _, name := range []string{"iptables-restore", "ip6tables-restore", "ipset"} {
		if _, err := find(name); err != nil {
			t.Skipf("SKIPPED, NOT TESTED: %v", err)
		}
	}
	clean := func() {
		for _, f := range []string{"iptables-restore", "ip6tables-restore"} {
			sh(t, "printf '*raw\nCOMMIT\n*mangle\nCOMMIT\n*nat\nCOMMIT\n*filter\nCOMMIT\n' | "+f)
		}
		sh(t, "ipset destroy")
	}
	clean()
	t.Cleanup(clean)
	return engine(t, namespaces...)
}

func engine(t testing.TB, namespaces ...string) *Engine {
	e := New(Options{
		Prefixes: []string{prefix, "neutron-l3-agent-", "neutron-dhcp-age-"}, Chains: []string{top, "neutron-postrouting-bottom"},
		Namespaces: func() []string { return namespaces },
	})
	t.Cleanup(e.Close)
	return e
}

func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

// wanted is the part of a state that this package's hands make.
type wanted struct {
	sets   map[host.SetKey]host.Set
	chains map[host.ChainKey]host.Chain
	hooks  map[host.HookKey]host.Hook
}

func newWanted() wanted {
	return wanted{map[host.SetKey]host.Set{}, map[host.ChainKey]host.Chain{}, map[host.HookKey]host.Hook{}}
}

func (w wanted) chain(family int, table, name string, rules ...string) {
	w.chains[host.ChainKey{Family: family, Table: table, Chain: name}] =
		host.Chain{Rules: strings.Join(rules, "\n"), Why: host.Why{Feature: "firewall", Object: "port/" + name}}
}

func (w wanted) hook(table, chain, to string, order int) {
	w.hooks[host.HookKey{Family: 4, Table: table, Chain: chain, Rule: "-j " + to}] =
		host.Hook{Order: order, Why: host.Why{Feature: "firewall", Object: "host"}}
}

func (w wanted) set(name, family string, members ...string) {
	w.sets[host.SetKey{Name: name}] = host.Set{Family: family, Members: strings.Join(members, "\n"),
		Why: host.Why{Feature: "firewall", Object: "group/" + name}}
}

func converge(t testing.TB, e *Engine, w wanted) reconcile.Result {
	t.Helper()
	steps := []reconcile.Step[wanted]{
		&reconcile.Part[wanted, host.SetKey, host.Set]{Name: "sets", Hand: e.Sets(), Same: SameSet,
			Want: func(w wanted) map[host.SetKey]host.Set { return w.sets }, Object: func(s host.Set) string { return s.Why.Object }},
		&reconcile.Part[wanted, host.ChainKey, host.Chain]{Name: "chains", Hand: e.Chains(), Same: SameChain,
			Want:   func(w wanted) map[host.ChainKey]host.Chain { return w.chains },
			Object: func(c host.Chain) string { return c.Why.Object }},
		&reconcile.Part[wanted, host.HookKey, host.Hook]{Name: "hooks", Hand: e.Hooks(), Same: SameHook,
			Want: func(w wanted) map[host.HookKey]host.Hook { return w.hooks }, Object: func(h host.Hook) string { return h.Why.Object }},
	}
	return reconcile.Sync(ctx(t), steps, w)
}

// clean syncs and wants no problem.
func clean(t testing.TB, e *Engine, w wanted) reconcile.Result {
	t.Helper()
	r := converge(t, e, w)
	for _, p := range r.Problems {
		t.Errorf("%s: %v", p.Object, p.Err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return r
}

// settled wants a fresh engine to find nothing to do, and the kernel unchanged.
func settled(t *testing.T, w wanted) {
	t.Helper()
	before := generation(t)
	r := clean(t, engine(t), w)
	if r.Puts != 0 || r.Drops != 0 {
		have, _ := engine(t).Chains().Read(ctx(t))
		for k, c := range w.chains {
			if !SameChain(have[k], c) {
				t.Errorf("%v\nwant %q\nhave %q", k, c.Rules, have[k].Rules)
			}
		}
		t.Fatalf("a fresh engine made %d puts and %d drops", r.Puts, r.Drops)
	}
	if after := generation(t); after != before {
		t.Fatalf("a fresh engine wrote: %d transactions", after-before)
	}
}

func generation(t *testing.T) uint32 {
	t.Helper()
	fd, err := netlinkSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	g, err := (&ear{ask: fd}).generation()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}
