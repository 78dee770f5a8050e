package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"neutrino/host"
	"neutrino/host/realtest"
	"neutrino/reconcile"
)

func TestMain(m *testing.M) { os.Exit(realtest.Main(m)) }

// hand is a DB that runs until the test ends.
func hand(t testing.TB, o *realtest.OVS) *DB {
	t.Helper()
	db := New(Options{Socket: o.Socket})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = db.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return db
}

func converge(t testing.TB, db *DB, want *host.State) reconcile.Result {
	t.Helper()
	steps := []reconcile.Step[*host.State]{
		&reconcile.Part[*host.State, string, host.Bridge]{Name: "bridges", Hand: db.Bridges(),
			Want:   func(s *host.State) map[string]host.Bridge { return s.Bridges },
			Same:   func(a, b host.Bridge) bool { a.Why, b.Why = host.Why{}, host.Why{}; return a == b },
			Object: func(v host.Bridge) string { return v.Why.Object }},
		&reconcile.Part[*host.State, string, host.OVSPort]{Name: "ports", Hand: db.Ports(),
			Want:   func(s *host.State) map[string]host.OVSPort { return s.OVSPorts },
			Same:   func(a, b host.OVSPort) bool { a.Why, b.Why = host.Why{}, host.Why{}; return a == b },
			Object: func(v host.OVSPort) string { return v.Why.Object }},
		&reconcile.Part[*host.State, string, host.VIF]{Name: "vifs", Hand: db.VIFs(),
			Want:   func(s *host.State) map[string]host.VIF { return s.VIFs },
			Same:   func(a, b host.VIF) bool { a.Why, b.Why = host.Why{}, host.Why{}; return a == b },
			Object: func(v host.VIF) string { return v.Why.Object }},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return reconcile.Sync(ctx, steps, want)
}

func clean(t testing.TB, r reconcile.Result) reconcile.Result {
	t.Helper()
	for _, p := range r.Problems {
		t.Fatalf("problem of %s: %v", p.Object, p.Err)
	}
	return r
}

func twoBridges() *host.State {
	s := host.NewState()
	for _, b := range []string{"br-int", "br-tun"} {
		s.Bridges[b] = host.Bridge{DatapathType: "netdev", FailMode: "secure", Protocols: "OpenFlow10,OpenFlow13,OpenFlow14",
			OtherConfig: "disable-in-band=true,mac-table-size=50000", Why: host.Why{Feature: "l2", Object: "bridge/" + b}}
	}
	s.OVSPorts["patch-tun"] = host.OVSPort{Bridge: "br-int", Type: "patch", Options: "peer=patch-int", Why: host.Why{Feature: "l2", Object: "bridge/br-int"}}
	s.OVSPorts["patch-int"] = host.OVSPort{Bridge: "br-tun", Type: "patch", Options: "peer=patch-tun", Why: host.Why{Feature: "l2", Object: "bridge/br-tun"}}
	return s
}

const (
	port1 = "7c7ae61e-0500-4b0c-a1a1-000000000001"
	port2 = "8d8be61e-0500-4b0c-a1a1-000000000002"
	mac1  = "fa:16:3e:03:00:e7"
)

func vifOf(id, mac string) host.VIF {
	return host.VIF{MAC: mac, Tag: 1, OtherConfig: "net_uuid=n1,tag=1", Why: host.Why{Feature: "l2", Object: "port/" + id}}
}

// plugByHand does what os-vif does without isolate_vif.
func plugByHand(t testing.TB, o *realtest.OVS, device, id, mac string) {
	t.Helper()
	realtest.Run(t, "ip", "link", "add", device, "type", "veth", "peer", "name", "x"+device)
	t.Cleanup(func() { realtest.Run(t, "ip", "link", "del", device) })
	o.Vsctl("add-port", "br-int", device, "--", "set", "Interface", device,
		"external_ids:iface-id="+id, `external_ids:attached-mac="`+mac+`"`)
}

func TestBridgesAndPortsAreMadeOnceAndAFreshHandWritesNothing(t *testing.T) {
	o := realtest.StartOVS(t)
	want := twoBridges()
	want.OVSPorts["gre-0a000002"] = host.OVSPort{Bridge: "br-tun", Type: "gre",
		Options: "df_default=true,in_key=flow,local_ip=10.0.0.1,out_key=flow,remote_ip=10.0.0.2", Why: host.Why{Feature: "tunnel", Object: "tunnel/x"}}
	if r := clean(t, converge(t, hand(t, o), want)); r.Puts != 5 {
		t.Fatalf("first: %+v", r)
	}
	if got := o.Vsctl("get", "Interface", "gre-0a000002", "ofport"); got == "[]" || got == "-1" {
		t.Fatalf("ofport of the tunnel: %s", got)
	}
	before := o.Writes()
	if r := clean(t, converge(t, hand(t, o), want)); r.Puts+r.Drops != 0 {
		t.Fatalf("a fresh hand on an unchanged database: %+v", r)
	}
	if n := o.Writes(); n != before {
		t.Fatalf("a fresh hand wrote %d transactions", n-before)
	}
	delete(want.OVSPorts, "gre-0a000002")
	clean(t, converge(t, hand(t, o), want))
	if got := o.Vsctl("list-ports", "br-tun"); got != "patch-int" {
		t.Fatalf("ports of br-tun: %q", got)
	}
}

func TestDriftIsRepairedAndForeignThingsStay(t *testing.T) {
	o := realtest.StartOVS(t)
	o.Vsctl("add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev", "other_config:hwaddr=0a:00:00:00:00:01")
	o.Vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "other_config:hwaddr=0a:00:00:00:00:02")
	o.Vsctl("add-port", "br-int", "op0", "--", "set", "Interface", "op0", "type=internal")
	want, db := twoBridges(), hand(t, o)
	clean(t, converge(t, db, want))
	o.Vsctl("set", "Bridge", "br-int", "other_config:mac-table-size=7", "fail_mode=standalone", "--", "del-port", "patch-tun")
	o.Vsctl("set", "Interface", "patch-int", "options:peer=elsewhere", "--", "set", "Port", "patch-int", "tag=9")
	realtest.Eventually(t, "the drift is repaired", func() bool {
		r := converge(t, db, want)
		return len(r.Problems) == 0 && r.Puts == 0
	})
	for row, expect := range map[string]string{
		"Bridge br-int other_config:mac-table-size": `"50000"`, "Bridge br-int other_config:hwaddr": `"0a:00:00:00:00:02"`,
		"Bridge br-int fail_mode": "secure", "Interface patch-int options:peer": "patch-tun", "Port patch-int tag": "[]",
		"Bridge br-ex external_ids": "{}", "Bridge br-ex other_config": `{hwaddr="0a:00:00:00:00:01"}`,
	} {
		f := strings.Fields(row)
		if got := o.Vsctl("get", f[0], f[1], f[2]); got != expect {
			t.Errorf("%s is %s, not %s", row, got, expect)
		}
	}
	want.OVSPorts["op0"] = host.OVSPort{Bridge: "br-tun", Why: host.Why{Object: "port/x"}}
	r := converge(t, db, want)
	if len(r.Problems) != 1 || r.Problems[0].Object != "port/x" {
		t.Fatalf("a name that an operator uses: %+v", r.Problems)
	}
	clean(t, converge(t, db, host.NewState()))
	if got := o.Vsctl("list-br"); got != "br-ex\nbr-int" {
		t.Fatalf("after everything is dropped: %q", got)
	}
	if got := o.Vsctl("list-ports", "br-int"); got != "op0" {
		t.Fatalf("the operator's port: %q", got)
	}
}

func TestAVIFIsWiredThenDeadWhenNoPlanHasItAndThenAtRest(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want := hand(t, o), twoBridges()
	clean(t, converge(t, db, want))
	want.VIFs[port1] = vifOf(port1, mac1)
	r := converge(t, db, want)
	var absent *host.Absent
	if len(r.Problems) != 1 || !errors.As(r.Problems[0].Err, &absent) || r.Problems[0].Object != "port/"+port1 {
		t.Fatalf("an absent VIF: %+v", r.Problems)
	}
	plugByHand(t, o, "qvo1", port1, strings.ToUpper(mac1))
	plugByHand(t, o, "qvo2", port2, mac1)
	o.Vsctl("set", "Port", "qvo1", "other_config:theirs=1")
	realtest.Eventually(t, "both are there and wired", func() bool { return len(converge(t, db, want).Problems) == 0 })
	for row, expect := range map[string]string{
		"qvo1 tag": "1", "qvo1 vlan_mode": "[]", "qvo1 trunks": "[]", "qvo1 other_config": `{net_uuid=n1, tag="1", theirs="1"}`,
		"qvo2 tag": "4095", "qvo2 vlan_mode": "trunk", "qvo2 trunks": "[4095]",
	} {
		f := strings.Fields(row)
		if got := o.Vsctl("get", "Port", f[0], f[1]); got != expect {
			t.Errorf("%s is %s, not %s", row, got, expect)
		}
	}
	before := o.Writes()
	if r := clean(t, converge(t, hand(t, o), want)); r.Puts+r.Drops != 0 || o.Writes() != before {
		t.Fatalf("a fresh hand: %+v", r)
	}
	dead := want.VIFs[port1]
	dead.Tag, dead.Dead = 4095, true
	want.VIFs[port1] = dead
	clean(t, converge(t, db, want))
	if r := clean(t, converge(t, db, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("a VIF that is wanted dead: %+v", r)
	}
	delete(want.VIFs, port1)
	clean(t, converge(t, db, want))
	if r := clean(t, converge(t, db, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("a VIF in no plan has to rest: %+v", r)
	}
	if got := o.Vsctl("get", "Port", "qvo1", "other_config", "external_ids", "tag"); got != "{theirs=\"1\"}\n{}\n4095" {
		t.Fatalf("what is left on the row: %q", got)
	}
}

func TestABadItemHarmsItselfOnly(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want := hand(t, o), twoBridges()
	clean(t, converge(t, db, want))
	plugByHand(t, o, "qvo1", port1, mac1)
	plugByHand(t, o, "qvo2", port2, "fa:16:3e:00:00:99")
	bad := vifOf(port1, mac1)
	bad.Tag = 5000 // the schema ends at 4095
	want.VIFs[port1], want.VIFs[port2] = bad, vifOf(port2, "fa:16:3e:00:00:99")
	want.OVSPorts["tapgone"] = host.OVSPort{Bridge: "br-int", Tag: 1, Why: host.Why{Object: "port/gone"}}
	var problems map[string]string
	realtest.Eventually(t, "the devices are taken up", func() bool {
		problems = map[string]string{}
		for _, p := range converge(t, db, want).Problems {
			problems[p.Object] = p.Err.Error()
		}
		return len(problems) == 2
	})
	if !strings.Contains(problems["port/"+port1], "constraint") || !strings.Contains(problems["port/gone"], "No such device") {
		t.Fatalf("problems: %v", problems)
	}
	if got := o.Vsctl("get", "Port", "qvo2", "tag"); got != "1" {
		t.Fatalf("the good one has tag %s", got)
	}
	if r := converge(t, db, want); len(r.Problems) != 2 {
		t.Fatalf("a problem that stays is said again: %+v", r.Problems)
	}
	want.VIFs[port1] = vifOf(port1, "fa:16:3e:00:00:01")
	delete(want.OVSPorts, "tapgone")
	if r := converge(t, db, want); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Err.Error(), "plugged with MAC") {
		t.Fatalf("another MAC: %+v", r.Problems)
	}
	before := o.Writes()
	converge(t, db, want)
	if got := o.Vsctl("get", "Port", "qvo1", "tag", "vlan_mode"); got != "4095\ntrunk" || o.Writes() != before {
		t.Fatalf("one with another MAC is on %q, %d more writes", got, o.Writes()-before)
	}
}

func TestADatapathThatTheKernelLacksIsSaid(t *testing.T) {
	o := realtest.StartOVS(t)
	if _, err := os.Stat("/sys/module/openvswitch"); err == nil {
		t.Skip("NOT TESTED: this kernel has openvswitch")
	}
	want := host.NewState()
	want.Bridges["br-int"] = host.Bridge{DatapathType: "system", Why: host.Why{Object: "bridge/br-int"}}
	db := hand(t, o)
	for range 2 {
		r := converge(t, db, want)
		if len(r.Problems) != 1 || r.Problems[0].Object != "bridge/br-int" {
			t.Fatalf("problems: %+v", r.Problems)
		}
		t.Log(r.Problems[0].Err)
	}
}

func TestEventsTellOfOthersAndNotOfUs(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want := hand(t, o), twoBridges()
	<-db.Events() // the connection
	clean(t, converge(t, db, want))
	drain(db)
	plugByHand(t, o, "qvo1", port1, mac1)
	<-db.Events()
	realtest.Eventually(t, "its ofport", func() bool {
		drain(db)
		return o.Vsctl("get", "Interface", "qvo1", "ofport") == "1" || o.Vsctl("get", "Interface", "qvo1", "ofport") == "2"
	})
	want.VIFs[port1] = vifOf(port1, mac1)
	drain(db)
	clean(t, converge(t, db, want))
	o.Vsctl("--no-wait", "set", "Open_vSwitch", ".", "external_ids:x=1") // everything of ours is seen by now
	select {
	case <-db.Events():
		t.Fatal("our own write came back as an event")
	default:
	}
	o.Vsctl("set", "Port", "qvo1", "tag=77")
	<-db.Events()
	clean(t, converge(t, db, want))
	if got := o.Vsctl("get", "Port", "qvo1", "tag"); got != "1" {
		t.Fatalf("tag %s", got)
	}
}

func drain(db *DB) {
	for {
		select {
		case <-db.Events():
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

func TestTheDatabaseGoesAndComesBack(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want := hand(t, o), twoBridges()
	clean(t, converge(t, db, want))
	drain(db)
	o.StopDB()
	realtest.Eventually(t, "a sync says that the database is away", func() bool {
		r := converge(t, db, want)
		return len(r.Problems) > 0 && r.Problems[0].Object == ""
	})
	o.StartDB()
	<-db.Events()
	realtest.Eventually(t, "all is well again", func() bool { return len(converge(t, db, want).Problems) == 0 })
	if r := clean(t, converge(t, db, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("after the restart: %+v", r)
	}
	o.StopSwitch()
	o.StartSwitch()
	realtest.Eventually(t, "all is well after ovs-vswitchd's restart", func() bool { return len(converge(t, db, want).Problems) == 0 })
	drain(db)
	db.Invalidate()
	if r := clean(t, converge(t, db, want)); r.Puts+r.Drops != 0 {
		t.Fatalf("after Invalidate: %+v", r)
	}
	select {
	case <-db.Events():
		t.Fatal("Invalidate of an unchanged database raised an event")
	default:
	}
}

func TestPlugIsSafeTwiceAndKeepsTheWiring(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want, ctx := hand(t, o), twoBridges(), context.Background()
	p := Plug{Device: "qvo1", Bridge: "br-int", PortID: port1, MAC: mac1, Instance: "vm1"}
	if err := db.PlugVIF(ctx, p); err == nil {
		t.Fatal("there is no bridge")
	}
	clean(t, converge(t, db, want))
	realtest.Run(t, "ip", "link", "add", "qvo1", "type", "veth", "peer", "name", "qvb1")
	t.Cleanup(func() { realtest.Run(t, "ip", "link", "del", "qvo1") })
	for range 2 {
		if err := db.PlugVIF(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.Vsctl("get", "Port", "qvo1", "tag", "vlan_mode", "trunks"); got != "4095\ntrunk\n[4095]" {
		t.Fatalf("plugged on %q", got)
	}
	want.VIFs[port1] = vifOf(port1, mac1)
	clean(t, converge(t, db, want))
	if err := db.PlugVIF(ctx, p); err != nil {
		t.Fatal(err)
	}
	if got := o.Vsctl("get", "Port", "qvo1", "tag"); got != "1" {
		t.Fatalf("plugging again cut the port off: tag %s", got)
	}
	for range 2 {
		if err := db.UnplugVIF(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.Vsctl("list-ports", "br-int"); got != "patch-tun" {
		t.Fatalf("ports %q", got)
	}
}

func TestAHundredPortsAreOneTransaction(t *testing.T) {
	o := realtest.StartOVS(t)
	db, want := hand(t, o), twoBridges()
	clean(t, converge(t, db, want))
	args := []string{}
	for i := range 100 {
		name, id := fmt.Sprintf("many%d", i), fmt.Sprintf("port-%d", i)
		args = append(args, "--", "add-port", "br-int", name, "--", "set", "Interface", name, "type=internal",
			"external_ids:iface-id="+id, `external_ids:attached-mac="`+mac1+`"`)
		want.VIFs[id] = vifOf(id, mac1)
	}
	o.Vsctl(args[1:]...)
	realtest.Eventually(t, "all have their ofport", func() bool {
		ready := 0
		got, err := db.VIFs().Read(context.Background())
		for _, v := range got {
			if v.Error == "" {
				ready++
			}
		}
		return err == nil && ready == 100
	})
	before := o.Writes()
	began := time.Now()
	clean(t, converge(t, db, want))
	t.Logf("100 ports wired in %v", time.Since(began))
	if n := o.Writes() - before; n != 1 {
		t.Fatalf("%d transactions", n)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("wiring took %v", took)
	}
}
