package openflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"neutrino/host"
	"neutrino/host/openflow"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func wantFlows(bridge string, pairs ...string) flowMap {
	want := flowMap{}
	for i := 0; i < len(pairs); i += 2 {
		k, f := flow(bridge, 1, pairs[i], pairs[i+1])
		want[k] = f
	}
	return want
}

func awaitEvent(t *testing.T, h *openflow.Hand) {
	t.Helper()
	select {
	case <-h.Events():
	case <-time.After(15 * time.Second):
		t.Fatal("no event")
	}
}

func drain(h *openflow.Hand) {
	select {
	case <-h.Events():
	default:
	}
}

func TestWhatSomebodyElseDoesToOurFlowsIsSeenAndRepaired(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	want := wantFlows("br-int", "in_port=tap1", "output:tap2", "in_port=tap2", "output:tap1")
	mustSync(t, h, want)
	before := o.flows("br-int")
	for _, deed := range [][]string{
		{"del-flows", "br-int", "in_port=1"},
		{"del-flows", "br-int"},
		{"mod-flows", "br-int", "in_port=2 actions=NORMAL"},
		{"add-flow", "br-int", "priority=7,ip actions=drop"},
		{"add-flow", "br-int", "priority=1,in_port=1 actions=output:2"}, // the same, but for the cookie
		{"add-flow", "br-int", "table=9,idle_timeout=30,priority=1 actions=drop"},
		{"add-flow", "br-int", "table=9,actions=learn(table=10,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"},
		{"add-flow", "br-int", "table=9,tcp_flags=2,tcp,actions=write_actions(drop),write_metadata:5"},
	} {
		drain(h)
		o.ofctl(deed...)
		begun := time.Now()
		awaitEvent(t, h)
		r := mustSync(t, h, want)
		t.Logf("%v: repaired in %v with %d puts, %d drops", deed, time.Since(begun).Round(time.Microsecond), r.Puts, r.Drops)
		if r.Puts+r.Drops == 0 {
			t.Errorf("%v: nothing was repaired", deed)
		}
		if after := o.flows("br-int"); !slices.Equal(before, after) {
			t.Errorf("%v: flows are\n  %s\nwant\n  %s", deed, strings.Join(after, "\n  "), strings.Join(before, "\n  "))
		}
	}
}

func TestOurOwnWritesAreNoEvents(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	read(t, h)
	drain(h)
	want := wantFlows("br-int", "in_port=tap1", "output:tap2")
	for i := range 20 {
		want[host.FlowKey{Bridge: "br-int", Table: 5, Match: fmt.Sprintf("reg0=%d", i)}] = host.Flow{Actions: "drop"}
		mustSync(t, h, want)
	}
	// A change by others is told after all of ours: were ours events, they would be here.
	select {
	case <-h.Events():
		t.Error("our own write is an event")
	default:
	}
	o.ofctl("add-flow", "br-int", "priority=9 actions=drop")
	awaitEvent(t, h)
}

func TestAFlowOfAPortPluggedAgainUnderAnotherNumberIsWrittenAgain(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	want := wantFlows("br-int", "in_port=tap1", "output:tap2", "in_port=tap2", "output:tap1", "reg0=1", "drop")
	mustSync(t, h, want)

	drain(h)
	o.vsctl("del-port", "br-int", "tap1")
	awaitEvent(t, h)
	waitFor(t, "flows of the lost port to be pending", func() bool { return len(sync(t, h, want).Problems) == 2 })
	for _, p := range sync(t, h, want).Problems {
		var absent *host.Absent
		if !errors.As(p.Err, &absent) || absent.What != "interface tap1" {
			t.Errorf("%s: %v, want tap1 absent", p.Object, p.Err)
		}
	}

	drain(h)
	o.plug("br-int", "tap1", 9)
	awaitEvent(t, h)
	waitFor(t, "the flows to follow", func() bool { return len(sync(t, h, want).Problems) == 0 })
	raw := o.ofctl("--no-names", "--no-stats", "dump-flows", "br-int")
	if !strings.Contains(raw, "in_port=9") || !strings.Contains(raw, "actions=output:9") || strings.Contains(raw, "output:1\n") {
		t.Errorf("flows do not use the new number:\n%s", raw)
	}
	if n := len(o.flows("br-int")); n != 3 {
		t.Errorf("%d flows, want 3:\n%s", n, raw)
	}
}

func TestAPortReplacedWhileWeWereAwayIsSeenByAFreshHand(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	want := wantFlows("br-int", "in_port=tap1", "output:tap2")
	first := newHand(t, o, "br-int")
	mustSync(t, first, want)
	first.Close()
	o.vsctl("del-port", "br-int", "tap1", "--", "del-port", "br-int", "tap2")
	o.plug("br-int", "tap2", 1)
	o.plug("br-int", "tap1", 2)
	if r := mustSync(t, newHand(t, o, "br-int"), want); r.Puts != 1 || r.Drops != 1 {
		t.Errorf("%d puts and %d drops, want one of each", r.Puts, r.Drops)
	}
	if got := o.flows("br-int"); len(got) != 1 || got[0] != "priority=1,in_port=tap1 actions=output:tap2" {
		t.Errorf("flows are %v", got)
	}
}

func TestARefusedFlowHarmsItselfOnly(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	// A full table refuses at commit, a bad action at once.
	o.vsctl("--", "--id=@t", "create", "Flow_Table", "flow_limit=3", "--", "set", "Bridge", "br-int", "flow_tables:7=@t")
	h := newHand(t, o, "br-int")
	want := wantFlows("br-int", "in_port=tap1", "drop", "reg0=1", "set_field:1->arp_op,IN_PORT", "reg0=2", "output:tap9", "reg0=3", "frobnicate", "reg0=4,colour=red", "drop", "reg0=5", "NORMAL")
	for i := range 5 {
		k, f := flow("br-int", 1, fmt.Sprintf("reg1=%d", i), "drop")
		k.Table = 7
		want[k] = f
	}
	r := sync(t, h, want)
	if len(o.flows("br-int")) != 5 {
		t.Errorf("flows are\n%s\nwant the two good ones and three of table 7", strings.Join(o.flows("br-int"), "\n"))
	}
	said := map[string]string{}
	for _, p := range r.Problems {
		said[p.Object] += p.Err.Error()
	}
	for object, text := range map[string]string{
		"object/reg0=1": "OFPBAC_MATCH_INCONSISTENT", "object/reg0=2": "interface tap9 is not there yet",
		"object/reg0=3": `"frobnicate"`, "object/reg0=4,colour=red": `"colour=red"`,
	} {
		if !strings.Contains(said[object], text) {
			t.Errorf("%s: %q does not say %q", object, said[object], text)
		}
		delete(said, object)
	}
	if len(said) != 2 {
		t.Errorf("%d flows refused by the full table, want 2: %v", len(said), said)
	}
	for object, text := range said {
		if !strings.Contains(text, "OFPFMFC_TABLE_FULL") {
			t.Errorf("%s: %s", object, text)
		}
	}
}

func TestABridgeThatIsNotThereHoldsBackItsFlowsOnly(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	h := newHand(t, o, "br-int", "br-tun")
	want := wantFlows("br-int", "in_port=tap1", "drop")
	k, f := flow("br-tun", 1, "", "drop")
	want[k] = f
	r := sync(t, h, want)
	var absent *host.Absent
	if len(r.Problems) != 1 || !errors.As(r.Problems[0].Err, &absent) || absent.What != "bridge br-tun" {
		t.Errorf("problems: %v, want br-tun absent", r.Problems)
	}
	if len(o.flows("br-int")) != 1 {
		t.Error("the flow of the bridge that is there is missing")
	}
	drain(h)
	o.bridge("br-tun")
	awaitEvent(t, h)
	mustSync(t, h, want)
	if got := o.flows("br-tun"); len(got) != 1 {
		t.Errorf("flows of br-tun: %v", got)
	}
}

func TestFlowsReturnAfterOVSRestarts(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1", "tap2")
	h := newHand(t, o, "br-int")
	want := wantFlows("br-int", "in_port=tap1", "output:tap2", "in_port=tap2", "output:tap1")
	mustSync(t, h, want)
	drain(h)
	stop(o.daemon)
	awaitEvent(t, h)
	if r := sync(t, h, want); len(r.Problems) != 2 {
		t.Errorf("problems with OVS stopped: %v", r.Problems)
	}
	drain(h)
	o.startDaemon()
	awaitEvent(t, h)
	waitFor(t, "flows to be back", func() bool { return len(sync(t, h, want).Problems) == 0 })
	if got := o.flows("br-int"); len(got) != 2 {
		t.Errorf("flows are %v", got)
	}
}

func TestAnOperatorsFlowsStay(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-ex", "eth1")
	o.ofctl("add-flow", "br-ex", "priority=0 actions=NORMAL")
	o.ofctl("add-flow", "br-ex", "cookie=5,priority=9,ip,nw_dst=192.0.2.1 actions=drop")
	h := openflow.New(openflow.Options{RunDir: o.dir, Bridges: func() []string { return nil }, Shared: func() []string { return []string{"br-ex"} }})
	t.Cleanup(h.Close)
	if have := read(t, h); len(have) != 0 {
		t.Errorf("the operator's flows are taken for ours: %v", have)
	}
	mine, mineFlow := flow("br-ex", 4, "in_port=eth1,dl_vlan=3", "strip_vlan,NORMAL")
	clash, clashFlow := flow("br-ex", 9, "ip,nw_dst=192.0.2.1", "NORMAL")
	r := sync(t, h, flowMap{mine: mineFlow, clash: clashFlow})
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Err.Error(), "not ours") {
		t.Errorf("problems: %v, want the match that is taken", r.Problems)
	}
	if r := sync(t, h, flowMap{}); r.Drops != 1 {
		t.Errorf("%d drops, want our one flow", r.Drops)
	}
	if got := o.flows("br-ex"); len(got) != 2 {
		t.Errorf("the operator's flows are now %v", got)
	}
}

func TestLeftoverFlowsOfAStandaloneBridgeGo(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	o.ofctl("add-flow", "br-int", "actions=NORMAL")
	want := wantFlows("br-int", "in_port=tap1", "drop")
	mustSync(t, newHand(t, o, "br-int"), want)
	if got := o.flows("br-int"); len(got) != 1 || !strings.Contains(got[0], "in_port=tap1") {
		t.Errorf("flows are %v", got)
	}
}

func TestABridgeWithoutOpenFlow14SaysSo(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	o.vsctl("set", "Bridge", "br-int", "protocols=OpenFlow10,OpenFlow13")
	r := sync(t, newHand(t, o, "br-int"), wantFlows("br-int", "in_port=tap1", "drop"))
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Err.Error(), "OpenFlow 1.4") {
		t.Errorf("problems: %v", r.Problems)
	}
}

func TestAFlowIsFoundByItsCookie(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	h := newHand(t, o, "br-int")
	want := wantFlows("br-int", "in_port=tap1", "drop")
	mustSync(t, h, want)
	for k, f := range want {
		cookie, err := h.Stamp(k, f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(o.ofctl("dump-flows", "br-int"), fmt.Sprintf("cookie=0x%x", cookie)) {
			t.Errorf("no flow has the cookie 0x%x", cookie)
		}
		got, gotFlow, ok := h.ByCookie(cookie)
		if !ok || got != k || gotFlow.Why != f.Why {
			t.Errorf("cookie 0x%x is of %v %v", cookie, got, gotFlow)
		}
	}
}

func TestAStoppedContextLeavesTheHandUsable(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	h := newHand(t, o, "br-int")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Read(ctx); err == nil {
		t.Error("a read under an ended context gives no error")
	}
	read(t, h)
	k, f := flow("br-int", 1, "in_port=tap1", "drop")
	if err := h.Apply(ctx, reconcile.Diff[host.FlowKey, host.Flow]{Put: flowMap{k: f}}); err == nil {
		t.Error("an apply under an ended context gives no error")
	}
	mustSync(t, h, flowMap{k: f})
}

func TestASwitchThatHangsIsGivenUpAndTakenUpAgain(t *testing.T) {
	o := startOVS(t)
	o.bridge("br-int", "tap1")
	h := openflow.New(openflow.Options{RunDir: o.dir, Bridges: func() []string { return []string{"br-int"} }, Timeout: 500 * time.Millisecond})
	t.Cleanup(h.Close)
	want := wantFlows("br-int", "in_port=tap1", "drop")
	mustSync(t, h, want)
	if err := o.daemon.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.Invalidate()
	r := sync(t, h, want)
	if err := o.daemon.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 1 || !errors.Is(r.Problems[0].Err, context.DeadlineExceeded) {
		t.Errorf("problems with a hanging switch: %v", r.Problems)
	}
	waitFor(t, "the switch to be taken up again", func() bool { return len(sync(t, h, want).Problems) == 0 })
	if r := mustSync(t, h, want); r.Puts+r.Drops != 0 {
		t.Errorf("flows that are there are written again: %d puts, %d drops", r.Puts, r.Drops)
	}
}
