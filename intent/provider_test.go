package intent

import (
	"testing"
	"time"

	"neutrino"
)

func makeNetwork(n neutrino.Network) func(*Tx) error {
	return func(tx *Tx) error { _, err := CreateNetwork(tx, n, nil); return err }
}

func TestProviderNetworksNeedAPhysicalNetwork(t *testing.T) {
	c := newCloud(t, func(c *Config) { c.PhysicalNetworkMTUs = map[string]int{physical: 1400} })
	flat := neutrino.Network{NetworkType: neutrino.Flat, PhysicalNetwork: physical}
	vlan := neutrino.Network{NetworkType: neutrino.VLAN, PhysicalNetwork: physical, SegmentationID: 7}
	c.refused(admin, "InvalidInput", makeNetwork(flat)) // no agent has it yet
	c.registerL3("net1")
	c.later(76 * time.Second)
	c.refused(admin, "InvalidInput", makeNetwork(vlan)) // no live one
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "net1") })
	made := c.network(admin, flat)
	if made.MTU != 1400 {
		t.Errorf("made %+v", made)
	}
	c.refused(admin, "FlatNetworkInUse", makeNetwork(flat))
	c.network(admin, vlan)
	c.refused(admin, "VlanIdInUse", makeNetwork(vlan))
	for _, bad := range []neutrino.Network{
		{NetworkType: neutrino.Flat}, {NetworkType: neutrino.Flat, PhysicalNetwork: physical, SegmentationID: 1},
		{NetworkType: neutrino.VLAN, SegmentationID: 3}, {NetworkType: neutrino.VLAN, PhysicalNetwork: "mars", SegmentationID: 3},
		{NetworkType: neutrino.VLAN, PhysicalNetwork: physical, SegmentationID: 4095}, {PhysicalNetwork: physical},
	} {
		c.refused(admin, "InvalidInput", makeNetwork(bad))
	}
	c.refused(admin, "NoNetworkAvailable", makeNetwork(neutrino.Network{NetworkType: neutrino.VLAN, PhysicalNetwork: physical}))
	c.register("compute1")
	if p := c.port(admin, neutrino.Port{NetworkID: made.ID, HostID: "compute1"}); p.VIFType != neutrino.VIFBindingFailed {
		t.Errorf("bound %s without a bridge", p.VIFType)
	}
	if p := c.port(admin, neutrino.Port{NetworkID: made.ID, HostID: "net1"}); p.VIFType != neutrino.VIFOVS {
		t.Errorf("bound %s", p.VIFType)
	}
	free := c.network(admin, neutrino.Network{})
	c.do(admin, func(tx *Tx) error { return DeleteNetwork(tx, free.ID) })
}

func TestVLANsAreGivenOutOfTheRanges(t *testing.T) {
	c := newCloud(t, func(c *Config) {
		c.TenantNetworkTypes = []neutrino.NetworkType{neutrino.VLAN}
		c.NetworkVLANRanges = map[string][]Range{"a": {{Min: 100, Max: 100}}, "b": {{Min: 200, Max: 201}}, "c": nil}
		c.FlatNetworks = []string{"a"}
	})
	seen := map[int64]string{}
	for range 3 {
		n := c.network(alice, neutrino.Network{})
		seen[n.SegmentationID] = n.PhysicalNetwork
	}
	if seen[100] != "a" || seen[200] != "b" || seen[201] != "b" {
		t.Errorf("given %v", seen)
	}
	c.refused(alice, "NoNetworkAvailable", makeNetwork(neutrino.Network{}))
	c.network(admin, neutrino.Network{NetworkType: neutrino.VLAN, PhysicalNetwork: "c", SegmentationID: 5})
	c.refused(admin, "InvalidInput", makeNetwork(neutrino.Network{NetworkType: neutrino.VLAN, PhysicalNetwork: "d", SegmentationID: 5}))
	c.network(admin, neutrino.Network{NetworkType: neutrino.Flat, PhysicalNetwork: "a"})
	c.refused(admin, "InvalidInput", makeNetwork(neutrino.Network{NetworkType: neutrino.Flat, PhysicalNetwork: "b"}))
}

func TestAnExternalNetworkGoesWithItsIdleFloatingIPs(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	idle := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID})
	inside := func(tx *Tx) error {
		_, err := UpdateNetwork(tx, outside.ID, func(n *neutrino.Network) error { n.External = false; return nil }, fieldsOf("router:external"))
		return err
	}
	c.refused(admin, "ExternalNetworkInUse", inside)
	n, _, r := c.behind(alice, outside, "10.0.0.0/24")
	vm := c.port(alice, neutrino.Port{NetworkID: n.ID})
	used := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: vm.ID})
	remove := func(tx *Tx) error { return DeleteNetwork(tx, outside.ID) }
	c.refused(admin, "NetworkInUse", remove)
	c.storedFloating(idle.ID) // the refused request left it
	c.do(alice, func(tx *Tx) error { return DeleteFloatingIP(tx, used.ID) })
	c.do(alice, updateRouter(r.ID, func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info"))
	c.do(admin, remove)
	c.refused(alice, "FloatingIPNotFound", func(tx *Tx) error { return DeleteFloatingIP(tx, idle.ID) })
	again := c.network(admin, neutrino.Network{External: true})
	c.do(admin, func(tx *Tx) error {
		_, err := UpdateNetwork(tx, again.ID, func(n *neutrino.Network) error { n.External = false; return nil }, fieldsOf("router:external"))
		return err
	})
}

func TestWhatNetworksCanBeIsTheOperators(t *testing.T) {
	c := newCloud(t, func(c *Config) {
		c.NetworkTypes = []neutrino.NetworkType{neutrino.GRE, neutrino.VXLAN, neutrino.Flat}
		c.ExternalNetworkType = neutrino.VXLAN
	})
	c.refused(admin, "InvalidInput", makeNetwork(neutrino.Network{NetworkType: neutrino.Geneve}))
	c.refused(admin, "InvalidInput", makeNetwork(neutrino.Network{NetworkType: neutrino.VLAN, PhysicalNetwork: "p", SegmentationID: 7}))
	if n := c.network(admin, neutrino.Network{}); n.NetworkType != neutrino.GRE {
		t.Errorf("a network is of type %s", n.NetworkType)
	}
	if n := c.network(admin, neutrino.Network{External: true}); n.NetworkType != neutrino.VXLAN {
		t.Errorf("an external network is of type %s", n.NetworkType)
	}
}

func TestAGatewayThatDoesNotSayHasSourceNATAsTheOperatorSays(t *testing.T) {
	for _, on := range []bool{true, false} {
		c := newCloud(t, func(c *Config) { c.SNATByDefault = on })
		n := c.network(admin, neutrino.Network{External: true})
		c.subnet(admin, n, "203.0.113.0/24")
		if r := c.router(admin, n); r.Gateway.EnableSNAT != on {
			t.Errorf("enable_snat_by_default %t: %+v", on, r.Gateway)
		}
		c.do(admin, func(tx *Tx) error {
			said, err := CreateRouter(tx, neutrino.Router{Gateway: &neutrino.Gateway{NetworkID: n.ID, EnableSNAT: !on}}, fieldsOf("external_gateway_info", gatewaySNAT))
			if err == nil && said.Gateway.EnableSNAT == on {
				t.Errorf("what the request says is not in force: %+v", said.Gateway)
			}
			return err
		})
	}
}
