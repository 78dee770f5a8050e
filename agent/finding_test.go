package agent

import (
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/host/hosttest"
)

// outside is a surface that finds what the test says.
type outside struct{ found []host.Finding }

func (o *outside) Findings() []host.Finding { return o.found }

// What is found around an object is reported and holds nothing back: the object
// stays wired, nothing is tried again for it, and a repair of it is still said.
func TestAFindingIsReportedAndHoldsNothingBack(t *testing.T) {
	h, out, src := hosttest.New(), &outside{}, newSource()
	h.VIFs.Plug(string(portA), macOf(4).String())
	h.VIFs.Plug(string(portB), macOf(5).String())
	src.set(small(), 1)
	a := New(config(t), Deps{Source: src, Hands: handsOf(h), Surfaces: []any{out}})
	if _, problems := a.pass(t.Context()); problems {
		t.Fatal("the host is not as planned")
	}
	found := host.Finding{Object: neutrino.PortObject(portA), Reason: "somebody else has its address"}
	out.found = []host.Finding{found}
	if _, problems := a.pass(t.Context()); problems {
		t.Error("something is tried again")
	}
	want := neutrino.Pending{Object: found.Object, Reason: found.Reason, Kind: neutrino.Noticed}
	if r, n := src.last(); n != 2 || len(r.Pending) != 1 || r.Pending[0] != want {
		t.Errorf("%d reports, the last %+v", n, r)
	}
	if st := a.Status(); len(st.Noticed) != 1 || len(st.Errors)+len(st.Pending) != 0 {
		t.Errorf("status: %+v", st)
	}
	wired := h.VIFs.Plugged[string(portA)]
	if wired.Dead {
		t.Error("the port is on the dead VLAN")
	}
	cut := wired
	cut.Tag = 4000
	h.VIFs.Plugged[string(portA)] = cut
	a.pass(t.Context())
	if all := a.Status().Repaired; len(all) != 1 || all[0].Object != found.Object || h.VIFs.Plugged[string(portA)].Tag != wired.Tag {
		t.Errorf("repaired: %v", all)
	}
	out.found = nil
	a.pass(t.Context())
	if r, n := src.last(); n != 3 || len(r.Pending) != 0 || len(a.Status().Noticed) != 0 {
		t.Errorf("%d reports, the last %+v", n, r)
	}
}
