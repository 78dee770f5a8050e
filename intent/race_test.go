package intent

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"neutrino"
	"neutrino/store"
)

// together runs f in that many goroutines at once and counts what came of it,
// by error type; "" is success.
func together(n int, f func(i int) error) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := map[string]int{}
	for i := range n {
		wg.Go(func() {
			<-start
			typ := ""
			if err := f(i); err != nil {
				typ = neutrino.AsError(err).Type
			}
			mu.Lock()
			defer mu.Unlock()
			results[typ]++
		})
	}
	close(start)
	wg.Wait()
	return results
}

func TestManyAtOnceForTheLastAddresses(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24")
	c.do(alice, func(tx *Tx) error {
		for range 253 - 20 {
			if _, err := CreatePort(tx, neutrino.Port{NetworkID: n.ID}, nil); err != nil {
				return err
			}
		}
		return nil
	})
	got := together(64, func(int) error { return c.try(alice, create(neutrino.Port{NetworkID: n.ID})) })
	if got[""] != 20 || got["IpAddressGenerationFailure"] != 44 {
		t.Errorf("results %v", got)
	}
}

func TestManyAtOnceForOneAddressOneMACAndOneKey(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24")
	got := together(64, func(int) error {
		return c.try(alice, create(neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.9")}}}))
	})
	if got[""] != 1 || got["IpAddressAlreadyAllocated"] != 63 {
		t.Errorf("address: %v", got)
	}
	got = together(64, func(int) error { return c.try(alice, create(neutrino.Port{NetworkID: n.ID, MAC: neutrino.MAC{2, 5}})) })
	if got[""] != 1 || got["MacAddressInUse"] != 63 {
		t.Errorf("MAC: %v", got)
	}
	got = together(64, func(int) error {
		return c.try(admin, func(tx *Tx) error {
			_, err := CreateNetwork(tx, neutrino.Network{NetworkType: neutrino.GRE, SegmentationID: 77}, nil)
			return err
		})
	})
	if got[""] != 1 || got["TunnelIdInUse"] != 63 {
		t.Errorf("key: %v", got)
	}
}

func TestManyAtOnceMakeOneDefaultGroup(t *testing.T) {
	c := newCloud(t)
	n := c.network(admin, neutrino.Network{Shared: true})
	if got := together(64, func(int) error { return c.try(bob, create(neutrino.Port{NetworkID: n.ID})) }); got[""] != 64 {
		t.Errorf("results %v", got)
	}
	if n := store.Count(c.db.Snapshot(), store.GroupsByProject, "bob"); n != 1 {
		t.Errorf("%d groups", n)
	}
}

func TestManyRulesAtOnce(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "g")
	got := together(64, func(i int) error {
		return c.try(alice, createRule(neutrino.SecurityGroupRule{
			SecurityGroupID: g.ID, Direction: neutrino.Ingress, Protocol: fmt.Sprint(100 + i%32),
		}))
	})
	if got[""] != 32 || got["SecurityGroupRuleExists"] != 32 {
		t.Errorf("results %v", got)
	}
	now, _ := store.Peek(c.db.Snapshot(), store.SecurityGroups, g.ID)
	if now.RevisionNumber != 33 {
		t.Errorf("revision %d", now.RevisionNumber)
	}
}

func TestManyBoundAtOnceToOneHost(t *testing.T) {
	c := newCloud(t)
	c.register("compute1")
	var list []*neutrino.Network
	for range 8 {
		n := c.network(alice, neutrino.Network{})
		c.subnet(alice, n, "10.0.0.0/24", withDHCP)
		list = append(list, n)
	}
	got := together(64, func(i int) error {
		return c.try(admin, create(neutrino.Port{NetworkID: list[i%8].ID, HostID: "compute1"}))
	})
	if got[""] != 64 {
		t.Errorf("results %v", got)
	}
}

// TestAnythingAtOnce lets creations, changes and deletions meet; the audit of
// the claims at the end finds whatever was lost or doubled.
func TestAnythingAtOnce(t *testing.T) {
	c := newCloud(t)
	c.register("h1", "h2")
	hosts := []string{"", "h1", "h2"}
	var mu sync.Mutex
	var ids []neutrino.ID // of anything
	keep := func(id neutrino.ID) { mu.Lock(); ids = append(ids, id); mu.Unlock() }
	any := func() neutrino.ID {
		mu.Lock()
		defer mu.Unlock()
		if len(ids) == 0 {
			return ""
		}
		return ids[max(0, len(ids)-1-rand.IntN(min(len(ids), 12)))]
	}
	actions := []func(*Tx) (neutrino.ID, error){
		func(tx *Tx) (neutrino.ID, error) { return idOf(CreateNetwork(tx, neutrino.Network{}, nil)) },
		func(tx *Tx) (neutrino.ID, error) {
			s := subnetIn(&neutrino.Network{ID: any()}, []string{"10.0.0.0/28", "10.0.1.0/28", "fd00::/64"}[rand.IntN(3)], withDHCP)
			if s.IPVersion == 6 {
				slaac(&s)
			}
			return idOf(CreateSubnet(tx, s, fieldsOf("enable_dhcp")))
		},
		func(tx *Tx) (neutrino.ID, error) {
			return idOf(CreatePort(tx, neutrino.Port{NetworkID: any(), HostID: hosts[rand.IntN(3)]}, nil))
		},
		func(tx *Tx) (neutrino.ID, error) {
			return idOf(UpdatePort(tx, any(), func(p *neutrino.Port) error {
				p.HostID, p.FixedIPs, p.SecurityGroups = hosts[rand.IntN(3)], nil, nil
				return nil
			}, fieldsOf("fixed_ips", "security_groups", "binding:host_id")))
		},
		func(tx *Tx) (neutrino.ID, error) { return "", DeletePort(tx, any()) },
		func(tx *Tx) (neutrino.ID, error) { return "", DeleteSubnet(tx, any()) },
		func(tx *Tx) (neutrino.ID, error) { return "", DeleteNetwork(tx, any()) },
	}
	got := together(16, func(i int) error {
		for range 150 {
			var made neutrino.ID
			pick := actions[rand.IntN(len(actions))]
			err := c.try(admin, func(tx *Tx) (err error) { made, err = pick(tx); return })
			if err != nil && neutrino.AsError(err).Code == neutrino.Internal {
				return err
			}
			if err == nil && made != "" {
				keep(made)
			}
		}
		return nil
	})
	if got[""] != 16 {
		t.Errorf("results %v", got)
	}
	if n := store.Count(c.db.Snapshot(), store.PortsByHost, "h1"); n == 0 {
		t.Error("no port was bound: the test tests nothing")
	}
}

func idOf[T interface {
	*neutrino.Network | *neutrino.Subnet | *neutrino.Port
}](v T, err error) (neutrino.ID, error) {
	if err != nil {
		return "", err
	}
	switch v := any(v).(type) {
	case *neutrino.Network:
		return v.ID, nil
	case *neutrino.Subnet:
		return v.ID, nil
	case *neutrino.Port:
		return v.ID, nil
	}
	return "", nil
}
