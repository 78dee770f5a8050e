package intent

import (
	"testing"

	"neutrino"
	"neutrino/store"
)

func TestATenantGetsANetworkWithARandomKeyAndTheLargestMTU(t *testing.T) {
	c := newCloud(t, func(c *Config) { c.TunnelRanges[neutrino.GRE] = []Range{{Min: 5, Max: 6}, {Min: 100, Max: 100}} })
	keys := map[int64]bool{}
	for range 3 {
		n := c.network(alice, neutrino.Network{Name: "blue"})
		if n.NetworkType != neutrino.GRE || n.MTU != 1458 || n.Status != "ACTIVE" || !n.AdminStateUp || !n.PortSecurityEnabled {
			t.Errorf("made %+v", n)
		}
		if n.ProjectID != "alice" || n.RevisionNumber != 1 || n.CreatedAt != n.UpdatedAt || n.CreatedAt.Nanosecond() != 0 {
			t.Errorf("made %+v", n.Standard)
		}
		keys[n.SegmentationID] = true
	}
	if !keys[5] || !keys[6] || !keys[100] {
		t.Errorf("keys %v", keys)
	}
	c.refused(alice, "NoNetworkAvailable", func(tx *Tx) error { _, err := CreateNetwork(tx, neutrino.Network{}, nil); return err })
}

func TestTheNextTypeIsUsedWhenOneIsExhausted(t *testing.T) {
	c := newCloud(t, func(c *Config) {
		c.TenantNetworkTypes = []neutrino.NetworkType{neutrino.GRE, neutrino.VXLAN}
		c.TunnelRanges[neutrino.GRE] = []Range{{Min: 1, Max: 1}}
		c.OverlayIPVersion, c.PathMTU = 6, 1400
	})
	c.network(alice, neutrino.Network{})
	if n := c.network(alice, neutrino.Network{}); n.NetworkType != neutrino.VXLAN || n.MTU != 1330 {
		t.Errorf("made %+v", n)
	}
}

func TestAnAdminChoosesTheSegment(t *testing.T) {
	c := newCloud(t)
	create := func(n neutrino.Network) func(*Tx) error {
		return func(tx *Tx) error { _, err := CreateNetwork(tx, n, nil); return err }
	}
	n := c.network(admin, neutrino.Network{NetworkType: neutrino.GRE, SegmentationID: 1 << 31})
	if n.SegmentationID != 1<<31 {
		t.Errorf("made %+v", n)
	}
	c.network(admin, neutrino.Network{NetworkType: neutrino.VXLAN, SegmentationID: 7})
	c.network(admin, neutrino.Network{NetworkType: neutrino.Geneve})
	c.refused(admin, "TunnelIdInUse", create(neutrino.Network{NetworkType: neutrino.GRE, SegmentationID: 1 << 31}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{SegmentationID: 3}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{NetworkType: neutrino.VXLAN, SegmentationID: 1 << 24}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{NetworkType: "flat", PhysicalNetwork: "physnet1"}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{NetworkType: "local"}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{NetworkType: neutrino.GRE, PhysicalNetwork: "physnet1"}))
	c.refused(admin, "InvalidInput", create(neutrino.Network{MTU: 1459}))
	c.refused(admin, "AvailabilityZoneNotFound", create(neutrino.Network{AvailabilityZoneHints: []string{"mars"}}))
	c.refused(alice, "HTTPBadRequest", create(neutrino.Network{ProjectID: "bob"}))
	c.do(admin, func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	c.network(admin, neutrino.Network{NetworkType: neutrino.GRE, SegmentationID: 1 << 31})
}

func TestOthersSeeASharedNetworkOnly(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	rename := func(tx *Tx) error {
		_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { n.Name = "mine"; return nil }, fieldsOf("name"))
		return err
	}
	share := func(on bool) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { n.Shared = on; return nil }, fieldsOf("shared"))
			return err
		}
	}
	c.refused(bob, "NetworkNotFound", rename)
	c.do(admin, share(true))
	p := c.port(bob, neutrino.Port{NetworkID: n.ID})
	c.refused(admin, "InvalidSharedSetting", share(false))
	c.do(bob, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.do(admin, share(false))
	c.refused(bob, "NetworkNotFound", func(tx *Tx) error { _, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID}, nil); return err })
}

func TestAnUpdateBumpsTheRevisionOnceAndIfMatchIsHeld(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.later(3e9)
	c.do(alice, func(tx *Tx) error {
		for range 2 {
			if _, err := UpdateNetwork(tx, n.ID, func(*neutrino.Network) error { return nil }, nil); err != nil {
				return err
			}
		}
		return nil
	})
	now, _ := store.Peek(c.db.Snapshot(), store.Networks, n.ID)
	if now.RevisionNumber != 2 || !now.UpdatedAt.After(now.CreatedAt) {
		t.Errorf("%+v", now.Standard)
	}
	if err := CheckRevision(now.Standard, 2); err != nil {
		t.Error(err)
	}
	if err := neutrino.AsError(CheckRevision(now.Standard, 1)); err.Type != "RevisionNumberConstraintFailed" || err.Code != neutrino.Precondition {
		t.Error(err)
	}
}

func TestTheMTUFollowsTheSubnets(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{MTU: 60})
	mtu := func(v int) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { n.MTU = v; return nil }, fieldsOf("mtu"))
			return err
		}
	}
	c.refused(alice, "NetworkMTUSubnetConflict", func(tx *Tx) error {
		_, err := CreateSubnet(tx, subnetIn(n, "10.0.0.0/24"), nil)
		return err
	})
	c.do(alice, mtu(0))
	c.subnet(alice, n, "10.0.0.0/24")
	c.refused(alice, "NetworkMTUSubnetConflict", mtu(67))
	c.do(alice, mtu(68))
	c.do(alice, mtu(1400))
	c.subnet(alice, n, "fd00::/64")
	c.refused(alice, "NetworkMTUSubnetConflict", mtu(1279))
	c.refused(alice, "InvalidInput", mtu(1459))
}

func TestANetworkGoesWithItsSubnetsAndDHCPButNotWithPorts(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24", withDHCP)
	p := c.port(alice, neutrino.Port{NetworkID: n.ID})
	c.refused(alice, "NetworkInUse", func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	c.do(alice, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.do(alice, func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	c.refused(alice, "NetworkNotFound", func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	snap := c.db.Snapshot()
	for range store.All(snap, store.Ports) {
		t.Error("a port is left")
	}
	for range store.All(snap, store.Subnets) {
		t.Error("a subnet is left")
	}
	for range store.All(snap, store.HostNetworks) {
		t.Error("a local VLAN is left")
	}
	for range store.All(snap, store.DHCPBindings) {
		t.Error("a DHCP binding is left")
	}
}
