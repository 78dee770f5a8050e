package agent

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"neutrino"
	"neutrino/host"
	"neutrino/host/hosttest"
	"neutrino/host/openflow"
	"neutrino/plan"
	"neutrino/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(inNamespaces{m}) }

// checkFilters fails when a port is on its live VLAN without its filters: every
// chain, set and hook of the plan that is the port's own or the host's.
func checkFilters(t *testing.T, h *hosttest.Host, want *host.State) {
	t.Helper()
	for id, v := range h.VIFs.Plugged {
		if v.Dead || v.Tag == 0 {
			continue
		}
		for _, object := range []string{neutrino.PortObject(neutrino.ID(id)), neutrino.HostObject} {
			for k, c := range want.Chains {
				if have := h.Chains.Items[k]; c.Why.Object == object && have.Rules != c.Rules {
					t.Fatalf("after write %d: port %s is live without chain %s", h.Writes, id, k.Chain)
				}
			}
			for k, hk := range want.Hooks {
				if _, ok := h.Hooks.Items[k]; hk.Why.Object == object && !ok {
					t.Fatalf("after write %d: port %s is live without hook %s", h.Writes, id, k.Rule)
				}
			}
		}
	}
}

// Stop after every write in turn, start afresh, and arrive; on the way there no
// port is live before it is filtered.
func TestAnAgentThatIsStoppedAnywhereArrivesAllTheSame(t *testing.T) {
	c, v := config(t), small()
	want := plan.Host(v, c.Plan)
	if len(want.VIFs) != 2 || len(want.Chains) == 0 || len(want.Flows) == 0 {
		t.Fatalf("the plan of the small cloud is too small for this test:\n%s", want.Text())
	}
	total := 0
	for n := 0; ; n++ {
		h := hosttest.New()
		h.VIFs.Plug(string(portA), macOf(4).String())
		h.VIFs.Plug(string(portB), macOf(5).String())
		h.VIFs.Plug("stranger", macOf(77).String())
		h.After = func() { checkFilters(t, h, want) }
		src := newSource()
		src.set(v, 7)
		h.CrashAfter(n)
		New(c, Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
		finished := !h.Crashed()
		h.Revive()
		fresh := New(c, Deps{Source: src, Hands: handsOf(h)})
		fresh.pass(t.Context())
		if diff := cmp.Diff(want.Text(), h.State().Text()); diff != "" {
			t.Fatalf("stopped after %d writes, then afresh:\n%s", n, diff)
		}
		if !h.VIFs.Plugged["stranger"].Dead {
			t.Fatal("an interface of no plan is not on the dead VLAN")
		}
		if r, _ := src.last(); r.Revision != 7 || len(r.Pending) != 0 {
			t.Fatalf("report %+v", r)
		}
		before := h.Writes
		New(c, Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
		if h.Writes != before {
			t.Fatalf("an agent on a finished host wrote %d times", h.Writes-before)
		}
		if finished {
			total = n
			break
		}
	}
	t.Logf("%d writes, stopped after each", total)
}

// withSeeds takes the content of seed files, which belong to their process once
// they are there, from the plan.
func withSeeds(have, want *host.State) *host.State {
	for path, f := range want.Files {
		if got, ok := have.Files[path]; ok && f.Seed {
			got.Content = f.Content
			have.Files[path] = got
		}
	}
	return have
}

// The same on the way from one view to the next: a port goes, a group changes.
func TestAnAgentThatIsStoppedDuringAChangeArrivesAllTheSame(t *testing.T) {
	c, before, after := config(t), small(), small()
	delete(after.Ports, portB)
	after.Rules["r2"] = neutrino.SecurityGroupRule{ID: "r2", SecurityGroupID: groupID, Direction: neutrino.Ingress,
		EtherType: neutrino.IPv4, Protocol: "icmp"}
	want := plan.Host(after, c.Plan)
	for n := 0; ; n++ {
		h := hosttest.New()
		h.VIFs.Plug(string(portA), macOf(4).String())
		h.VIFs.Plug(string(portB), macOf(5).String())
		src := newSource()
		src.set(before, 1)
		New(c, Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
		h.After = func() {
			b, live := h.VIFs.Plugged[string(portB)], false
			for k := range h.Chains.Items {
				live = live || strings.HasSuffix(k.Chain, "i"+string(portB)[:10])
			}
			if !b.Dead && !live {
				t.Fatalf("after write %d: the port that goes lost its chain while it is live", h.Writes)
			}
		}
		src.set(after, 2)
		h.CrashAfter(n)
		New(c, Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
		finished := !h.Crashed()
		h.Revive()
		New(c, Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
		if diff := cmp.Diff(want.Text(), withSeeds(h.State(), want).Text()); diff != "" {
			t.Fatalf("stopped after %d writes, then afresh:\n%s", n, diff)
		}
		if finished {
			return
		}
	}
}

func TestAPortThatCannotBeFilteredStaysDeadAndHarmsNobody(t *testing.T) {
	for name, fault := range map[string]func(*hosttest.Host){
		"one chain": func(h *hosttest.Host) {
			h.Chains.Item = func(k host.ChainKey, v host.Chain) error {
				if v.Why.Object == neutrino.PortObject(portA) {
					return &host.ItemError{Item: k.Chain, Why: v.Why, Err: errors.New("refused")}
				}
				return nil
			}
		},
		"one flow": func(h *hosttest.Host) {
			h.Flows.Item = func(k host.FlowKey, v host.Flow) error {
				if v.Why.Object == neutrino.PortObject(portA) {
					return &host.ItemError{Item: k.Match, Why: v.Why, Err: errors.New("refused")}
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, src := hosttest.New(), newSource()
			h.VIFs.Plug(string(portA), macOf(4).String())
			h.VIFs.Plug(string(portB), macOf(5).String())
			fault(h)
			src.set(small(), 1)
			New(config(t), Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
			if !h.VIFs.Plugged[string(portA)].Dead || h.VIFs.Plugged[string(portB)].Dead {
				t.Errorf("interfaces: %+v", h.VIFs.Plugged)
			}
			r, _ := src.last()
			if len(r.Pending) == 0 {
				t.Fatal("nothing is pending")
			}
			for _, p := range r.Pending {
				if p.Object != neutrino.PortObject(portA) || !strings.Contains(p.Reason, "refused") {
					t.Errorf("pending %+v", p)
				}
			}
		})
	}
}

func TestABrokenFirewallWiresNobodyAndTakesNothingAway(t *testing.T) {
	c, src, h := config(t), newSource(), hosttest.New()
	h.VIFs.Plug(string(portA), macOf(4).String())
	h.VIFs.Plug(string(portB), macOf(5).String())
	h.Chains.Broken = errors.New("iptables is away")
	h.Namespaces.Items["qdhcp-old"] = host.Namespace{}
	src.set(small(), 1)
	a := New(c, Deps{Source: src, Hands: handsOf(h)})
	a.pass(t.Context())
	for id, i := range h.VIFs.Plugged {
		if !i.Dead {
			t.Errorf("%s is live: %+v", id, i)
		}
	}
	if _, ok := h.Namespaces.Items["qdhcp-old"]; !ok {
		t.Error("something was taken away while a surface was broken")
	}
	r, _ := src.last()
	said := map[string]bool{}
	for _, p := range r.Pending {
		said[p.Object] = true
	}
	if !said[neutrino.PortObject(portA)] || !said[neutrino.PortObject(portB)] {
		t.Errorf("pending %v does not name the ports", said)
	}
	h.Chains.Broken = nil
	a.pass(t.Context())
	if h.VIFs.Plugged[string(portA)].Dead {
		t.Error("still dead after the firewall came back")
	}
	if _, ok := h.Namespaces.Items["qdhcp-old"]; ok {
		t.Error("the old namespace is still there")
	}
}

func TestAnInterfaceWithAWrongMACStaysDead(t *testing.T) {
	h, src := hosttest.New(), newSource()
	h.VIFs.Plug(string(portA), macOf(66).String())
	h.VIFs.Plug(string(portB), macOf(5).String())
	src.set(small(), 1)
	New(config(t), Deps{Source: src, Hands: handsOf(h)}).pass(t.Context())
	if !h.VIFs.Plugged[string(portA)].Dead || h.VIFs.Plugged[string(portB)].Dead {
		t.Errorf("interfaces: %+v", h.VIFs.Plugged)
	}
	if r, _ := src.last(); len(r.Pending) != 1 || !strings.Contains(r.Pending[0].Reason, "MAC") {
		t.Errorf("pending %+v", r.Pending)
	}
}

// running is an agent with its loop, on a fake host that the test locks.
type running struct {
	*Agent
	src    *source
	events chan struct{}
	stop   func() error
}

type surface struct {
	events  chan struct{}
	invalid atomic.Int64
	runs    atomic.Int64
}

func (s *surface) Events() <-chan struct{} { return s.events }
func (s *surface) Invalidate()             { s.invalid.Add(1) }
func (s *surface) Run(ctx context.Context) error {
	s.runs.Add(1)
	<-ctx.Done()
	return nil
}

func start(t *testing.T, c Config, h *hosttest.Host, sur *surface) *running {
	src := newSource()
	a := New(c, Deps{Source: src, Hands: handsOf(h), Surfaces: []any{sur}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	r := &running{Agent: a, src: src, events: sur.events, stop: sync.OnceValue(func() error { cancel(); return <-done })}
	t.Cleanup(func() { r.stop() })
	return r
}

func TestAnUnpluggedPortIsPendingUntilSomebodyPlugsIt(t *testing.T) {
	c, h, sur := config(t), hosttest.New(), &surface{events: make(chan struct{}, 1)}
	c.RetryMin, c.RetryMax = time.Hour, time.Hour
	var mu sync.Mutex
	lock := lockedVIFs{&mu, h.VIFs}
	src := newSource()
	hands := handsOf(h)
	hands.VIFs = lock
	a := New(c, Deps{Source: src, Hands: hands, Surfaces: []any{sur}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); <-done }()
	v := small()
	delete(v.Ports, portB)
	src.set(v, 3)
	eventually(t, "pending report", func() bool { r, n := src.last(); return n == 1 && len(r.Pending) == 1 })
	st, err := ReadStatus(t.Context(), c.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Pending) != 1 || len(st.Errors) != 0 || st.Pending[0].Object != neutrino.PortObject(portA) ||
		st.Pending[0].Since.IsZero() || st.Revision != 3 || !st.Connected || st.Host != "c1" {
		t.Errorf("status %+v", st)
	}
	mu.Lock()
	h.VIFs.Plug(string(portA), macOf(4).String())
	mu.Unlock()
	sur.events <- struct{}{}
	eventually(t, "report without pending", func() bool { r, n := src.last(); return n == 2 && len(r.Pending) == 0 })
	if text, err := ReadView(t.Context(), c.Socket); err != nil || !strings.Contains(text, string(portA)) {
		t.Errorf("view: %v\n%s", err, text)
	}
	if text, err := ReadPlan(t.Context(), c.Socket); err != nil || !strings.Contains(text, "br-int") {
		t.Errorf("plan: %v\n%s", err, text)
	}
}

// A report is made when there is news, and not otherwise.
func TestNoNewsIsNoReport(t *testing.T) {
	h, src := hosttest.New(), newSource()
	src.set(view.New("c1"), 1)
	a := New(config(t), Deps{Source: src, Hands: handsOf(h)})
	for range 3 {
		a.pass(t.Context())
	}
	if _, n := src.last(); n != 1 {
		t.Errorf("%d reports", n)
	}
	v, _ := src.Latest()
	src.set(v.Host, 2)
	a.pass(t.Context())
	if r, n := src.last(); n != 2 || r.Revision != 2 {
		t.Errorf("%d reports, the last %+v", n, r)
	}
}

func TestFailuresAreTriedAgainForEver(t *testing.T) {
	c, h := config(t), hosttest.New()
	var tries atomic.Int64
	h.Bridges.Item = func(k string, v host.Bridge) error {
		if tries.Add(1) < 30 {
			return &host.ItemError{Item: k, Why: v.Why, Err: errors.New("not now")}
		}
		return nil
	}
	r := start(t, c, h, &surface{events: make(chan struct{}, 1)})
	r.src.set(view.New("c1"), 1)
	eventually(t, "a report without pending", func() bool { rep, n := r.src.last(); return n > 0 && len(rep.Pending) == 0 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if st := r.Status(); st.Passes < 10 || len(st.Errors) != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestTheAuditInvalidatesAndSurfacesRun(t *testing.T) {
	c, sur := config(t), &surface{events: make(chan struct{}, 1)}
	c.Audit = 5 * time.Millisecond
	r := start(t, c, hosttest.New(), sur)
	r.src.set(view.New("c1"), 1)
	eventually(t, "two audits", func() bool { return sur.invalid.Load() >= 2 })
	if sur.runs.Load() != 1 {
		t.Errorf("the surface was run %d times", sur.runs.Load())
	}
}

// A plan that spells a flow otherwise than the switch's hand reads it would put
// and drop it for ever.
func TestAPlanSpellsItsFlowsAsTheyAreReadBack(t *testing.T) {
	v := small()
	six := v.Ports[portA]
	six.FixedIPs = append(six.FixedIPs, neutrino.FixedIP{SubnetID: "six", IPAddress: netip.MustParseAddr("2001:db8::4")})
	six.AllowedAddressPairs = []neutrino.AddressPair{{IPAddress: netip.MustParsePrefix("10.9.0.0/24")}}
	v.Ports[portA] = six
	far := v.Neighbours["far"]
	far.FixedIPs = append(far.FixedIPs, neutrino.FixedIP{SubnetID: "six", IPAddress: netip.MustParseAddr("2001:db8::9")})
	v.Neighbours["far"] = far
	for k, f := range plan.Host(v, config(t).Plan).Flows {
		ck, cf, err := openflow.Canonical(k, f)
		if err != nil {
			t.Errorf("%v: %v", k, err)
		} else if ck != k || cf.Actions != f.Actions {
			t.Errorf("%+v actions %s\nis read back as\n%+v actions %s", k, f.Actions, ck, cf.Actions)
		}
	}
}
