package intent

import (
	"testing"

	"neutrino"
	"neutrino/store"
)

// scene is a small cloud in which any two requests can meet.
type scene struct {
	*cloud
	outside, spare *neutrino.Network // spare is external and not used
	inner, empty   *neutrino.Subnet  // of one network; a router is on inner
	router, lone   *neutrino.Router  // lone has a gateway only
	vm, other      *neutrino.Port
	idle, second   *neutrino.FloatingIP
}

func newScene(t *testing.T) *scene {
	s := &scene{cloud: newCloud(t)}
	s.registerL3("h1", "h2")
	s.outside, _ = s.cloud.outside()
	s.spare, _ = s.cloud.outside()
	var n *neutrino.Network
	n, s.inner, s.router = s.behind(alice, s.outside, "10.0.0.0/24")
	s.vm, s.other = s.port(alice, neutrino.Port{NetworkID: n.ID}), s.port(alice, neutrino.Port{NetworkID: n.ID})
	s.empty = s.subnet(alice, n, "10.1.0.0/24", func(s *neutrino.Subnet) {
		s.AllocationPools = []neutrino.Pool{{Start: ip("10.1.0.10"), End: ip("10.1.0.20")}}
	})
	s.lone = s.cloud.router(alice, s.outside)
	s.idle = s.floating(alice, neutrino.FloatingIP{FloatingNetworkID: s.outside.ID})
	s.second = s.floating(alice, neutrino.FloatingIP{FloatingNetworkID: s.outside.ID})
	return s
}

// requests are what can meet, by name.
func (s *scene) requests() map[string]func(*Tx) error {
	noGateway := func(id neutrino.ID) func(*Tx) error {
		return updateRouter(id, func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info")
	}
	update := func(tx *Tx) error {
		_, err := UpdateSubnet(tx, s.empty.ID, func(s *neutrino.Subnet) error { s.GatewayIP = ip("10.1.0.254"); return nil }, fieldsOf("gateway_ip"))
		return err
	}
	return map[string]func(*Tx) error{
		"associate":        associateWith(s.idle.ID, s.vm.ID),
		"associate second": associateWith(s.second.ID, s.vm.ID),
		"disassociate":     associateWith(s.idle.ID, ""),
		"forward":          createForwarding(s.idle.ID, forwardTo(s.vm, 80, 80)),
		"forward second":   createForwarding(s.second.ID, forwardTo(s.vm, 81, 80)),
		"delete floating":  func(tx *Tx) error { return DeleteFloatingIP(tx, s.idle.ID) },
		"delete port":      func(tx *Tx) error { return DeletePort(tx, s.vm.ID) },
		"readdress port":   updatePort(s.vm.ID, func(p *neutrino.Port) { p.FixedIPs = []neutrino.FixedIP{{IPAddress: ip("10.0.0.200")}} }, nil, "fixed_ips"),
		"attach":           addSubnet(s.router.ID, s.empty.ID),
		"attach elsewhere": addSubnet(s.lone.ID, s.empty.ID),
		"attach port":      addPortTo(s.lone.ID, s.other.ID),
		"detach":           removeSubnet(s.router.ID, s.inner.ID),
		"no gateway":       noGateway(s.router.ID),
		"delete router":    func(tx *Tx) error { return DeleteRouter(tx, s.lone.ID) },
		"lone to inside":   noGateway(s.lone.ID),
		"delete subnet":    func(tx *Tx) error { return DeleteSubnet(tx, s.empty.ID) },
		"move gateway ip":  update,
		"delete outside":   func(tx *Tx) error { return DeleteNetwork(tx, s.outside.ID) },
		"new floating":     createFloating(neutrino.FloatingIP{FloatingNetworkID: s.spare.ID}),
		"new gateway": func(tx *Tx) error {
			_, err := CreateRouter(tx, neutrino.Router{Gateway: &neutrino.Gateway{NetworkID: s.spare.ID}}, nil)
			return err
		},
		"delete spare": func(tx *Tx) error { return DeleteNetwork(tx, s.spare.ID) },
		"unschedule":   func(tx *Tx) error { return RemoveRouterFromL3Agent(tx, agentID(neutrino.AgentL3, "h1"), s.router.ID) },
		"delete agent": func(tx *Tx) error { return DeleteAgent(tx, agentID(neutrino.AgentL3, "h1")) },
		"host says it is": func(tx *Tx) error {
			return Report(tx, neutrino.Report{Host: "h1"}, func(neutrino.ID) bool { return true })
		},
		"host beats":        func(tx *Tx) error { return Heartbeat(tx, "h1") },
		"port for a router": create(neutrino.Port{NetworkID: s.inner.NetworkID, DeviceID: string(s.lone.ID), DeviceOwner: neutrino.OwnerRouter}),
		"internal": func(tx *Tx) error {
			_, err := UpdateNetwork(tx, s.spare.ID, func(n *neutrino.Network) error { n.External = false; return nil }, fieldsOf("router:external"))
			return err
		},
	}
}

// TestAnyTwoRequestsMeet runs the second request, whole, between the work and
// the commit of the first, for every pair; the audit then finds what dangles.
func TestAnyTwoRequestsMeet(t *testing.T) {
	names := newScene(t).requests()
	met, pair := 0, 0
	for first := range names {
		for second := range names {
			if pair++; testing.Short() && pair%8 != 0 {
				continue // all of them take half a minute with the race detector
			}
			t.Run(first+" while "+second, func(t *testing.T) {
				s := newScene(t)
				list := s.requests()
				attempts := 0
				err := s.try(admin, func(tx *Tx) error {
					err := list[first](tx)
					if attempts++; attempts > 1 || err != nil {
						return err
					}
					if e := s.try(admin, list[second]); e != nil && neutrino.AsError(e).Code == neutrino.Internal {
						t.Errorf("%s: %v", second, e)
					}
					return nil
				})
				if err != nil && neutrino.AsError(err).Code == neutrino.Internal {
					t.Errorf("%s: %v", first, err)
				}
				if err != nil && neutrino.AsError(err).Type == "Conflict" {
					t.Errorf("%s: a refusal without a name: %v", first, err)
				}
				if attempts > 1 {
					met++
				}
				s.auditGateway()
			})
		}
	}
	if met < len(names) && !testing.Short() {
		t.Errorf("only %d met: the test tests nothing", met)
	}
}

// auditGateway wants an interface that was made for the subnet to have its
// present gateway address.
func (s *scene) auditGateway() {
	s.t.Helper()
	snap := s.db.Snapshot()
	now, ok := store.Peek(snap, store.Subnets, s.empty.ID)
	for p := range store.By(snap, store.PortsBySubnet, string(s.empty.ID)) {
		if !ok || p.FixedIPs[0].IPAddress != now.GatewayIP {
			s.t.Errorf("interface %v in subnet %+v", p.FixedIPs, now)
		}
	}
}
