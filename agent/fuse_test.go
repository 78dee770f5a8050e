package agent

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/feed"
	"neutrino/host/hosttest"
	"neutrino/plan"
	"neutrino/view"
	"neutrino/view/fuse"
)

func manyID(n int) neutrino.ID {
	return neutrino.ID(fmt.Sprintf("c%03d0000-0000-4000-8000-0000000000%02x", n, n%256))
}

// many is the small cloud with so many more instances.
func many(instances int) *view.Host {
	v := small()
	members := v.Members[groupID]
	for n := range instances {
		p := instance(manyID(n), byte(100+n))
		v.Ports[p.ID] = p
		members.Prefixes = append(members.Prefixes, netip.PrefixFrom(p.FixedIPs[0].IPAddress, 32))
	}
	v.Members[groupID] = members
	return v
}

// guarded is a fake host with a fuse, its instances plugged.
type guarded struct {
	*testing.T
	config Config
	host   *hosttest.Host
	source *source
	*Agent
}

func newGuarded(t *testing.T, v *view.Host) *guarded {
	g := &guarded{T: t, config: config(t), host: hosttest.New(), source: newSource()}
	g.config.Fuse = fuse.Default
	for id, p := range v.Ports {
		if p.DeviceOwner == "compute:nova" {
			g.host.VIFs.Plug(string(id), p.MAC.String())
		}
	}
	g.source.set(v, 1)
	g.restart()
	g.pass(t.Context())
	return g
}

func (g *guarded) restart() {
	g.Agent = New(g.config, Deps{Source: g.source, Hands: handsOf(g.host)})
}

// take is a pass with another view, and one with the server's answer about all
// that is asked.
func (g *guarded) take(v *view.Host, gone map[view.Key]string) {
	g.source.set(v, 2)
	g.pass(g.Context())
	g.source.mu.Lock()
	if len(g.source.asked) > 0 {
		g.source.gone, g.source.all = gone, true
	}
	g.source.mu.Unlock()
	g.pass(g.Context())
}

func (g *guarded) asPlanned(v *view.Host) {
	g.Helper()
	want := plan.Host(v, g.config.Plan)
	if diff := cmp.Diff(want.Text(), withSeeds(g.host.State(), want).Text()); diff != "" {
		g.Fatalf("the host is not as planned:\n%s", diff)
	}
}

// A view that has lost everything writes nothing, says so everywhere, and does so
// after a restart too; what is new goes on beside it, until a person releases.
func TestAnEmptiedViewIsHeldUntilItIsReleased(t *testing.T) {
	full := many(8)
	g := newGuarded(t, full)
	g.asPlanned(full)
	writes := g.host.Writes
	empty := view.New("c1")
	g.take(empty, nil)
	if g.host.Writes != writes {
		t.Fatalf("an emptied view wrote %d times", g.host.Writes-writes)
	}
	for range 2 {
		st := g.Status()
		if st.Fuse == nil || len(st.Fuse.Objects) != 11 || st.Fuse.Asked {
			t.Fatalf("status %+v", st.Fuse)
		}
		r, _ := g.source.last()
		if len(r.Pending) < 5 || r.Pending[0].Kind != neutrino.Noticed || !strings.Contains(fmt.Sprint(r.Pending), "neutrino agent release") {
			t.Fatalf("report %+v", r)
		}
		g.restart()
		g.take(empty, nil)
		if g.host.Writes != writes {
			t.Fatalf("a restart in the middle wrote %d times", g.host.Writes-writes)
		}
	}
	added := view.New("c1")
	added.Networks[netID], added.Subnets, added.Groups = full.Networks[netID], full.Subnets, full.Groups
	added.Ports["eeee0000-0000-4000-8000-000000000000"] = instance("eeee0000-0000-4000-8000-000000000000", 77)
	g.host.VIFs.Plug("eeee0000-0000-4000-8000-000000000000", macOf(77).String())
	g.take(added, nil)
	if v := g.host.VIFs.Plugged["eeee0000-0000-4000-8000-000000000000"]; v.Dead || v.Tag == 0 {
		t.Errorf("a new port waits beside what is held: %+v", v)
	}
	if v := g.host.VIFs.Plugged[string(portA)]; v.Dead {
		t.Error("a held port is dead")
	}
	g.releasing(added)
}

// releasing releases as a person does, by the socket.
func (g *guarded) releasing(next *view.Host) {
	g.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Agent.Run(ctx) }()
	g.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			g.Error(err)
		}
	})
	held := func() int {
		st, err := ReadStatus(ctx, g.config.Socket)
		if err != nil || st.Fuse == nil {
			return 0
		}
		return len(st.Fuse.Objects)
	}
	eventually(g.T, "the status has what is held", func() bool { return held() > 0 })
	n := held()
	if err := Release(ctx, g.config.Socket, n-1); err == nil || !strings.Contains(err.Error(), "look at them again") {
		g.Errorf("a release of another number: %v", err)
	}
	if err := Release(ctx, g.config.Socket, n); err != nil {
		g.Fatal(err)
	}
	eventually(g.T, "what was held is gone", func() bool {
		st, err := ReadStatus(ctx, g.config.Socket)
		return err == nil && st.Fuse == nil
	})
	if err := Release(ctx, g.config.Socket, 0); err == nil {
		g.Error("nothing is held, and was released")
	}
	stop()
	if err := <-done; err != nil {
		g.Error(err)
	}
	done <- nil
	g.asPlanned(next)
}

// What the server confirms ends at once, without a person and without an alarm.
func TestWhatTheServerConfirmsEnds(t *testing.T) {
	full := many(8)
	g := newGuarded(t, full)
	less := many(8)
	gone := map[view.Key]string{}
	for n := range 8 {
		delete(less.Ports, manyID(n))
		gone[view.Key{Kind: view.KindPort, ID: string(manyID(n))}] = "request req-1"
	}
	g.source.set(less, 2)
	g.pass(t.Context())
	if r, _ := g.source.last(); len(g.source.asked) < 8 || len(r.Pending) > 0 {
		t.Fatalf("asked about %v, and reported %+v", g.source.asked, r)
	}
	g.take(less, gone)
	g.asPlanned(less)
	if st := g.Status(); st.Fuse != nil || len(g.source.asked) > 0 {
		t.Errorf("%+v is held, %v asked", st.Fuse, g.source.asked)
	}
}

// A restart with a damaged view on the server's side has the stored one to
// compare with, also when the last good one is only on the disk.
func TestARestartComparesWithTheDisk(t *testing.T) {
	full := many(8)
	g := newGuarded(t, full)
	writes := g.host.Writes
	g.source.set(view.New("c1"), 2) // before the new agent has seen anything
	g.restart()
	g.pass(t.Context())
	if g.host.Writes != writes {
		t.Errorf("the first view after a restart took everything down in %d writes", g.host.Writes-writes)
	}
}

// Off means off.
func TestWithoutAFuseAViewIsTakenAsItIs(t *testing.T) {
	g := newGuarded(t, many(8))
	g.config.Fuse.Share = 0
	g.restart()
	g.take(view.New("c1"), nil)
	if len(g.host.Chains.Items) > 20 || g.Status().Fuse != nil {
		t.Errorf("%d chains are left", len(g.host.Chains.Items))
	}
}

var _ Source = (*feed.Client)(nil)
