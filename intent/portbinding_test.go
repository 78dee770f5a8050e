package intent

import (
	"testing"

	"neutrino"
	"neutrino/intent/binding"
)

// migration is an instance's port on compute1 that may move to compute2.
func migration(t *testing.T) (*cloud, *neutrino.Network, *neutrino.Port) {
	c := newCloud(t)
	c.register("compute1", "compute2")
	n := c.network(alice, neutrino.Network{})
	p := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "compute1", DeviceOwner: "compute:nova", ProjectID: "alice", Profile: `{"a":1}`})
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute2", Profile: `{"migrating":true}`}))
	return c, n, p
}

func addBinding(port neutrino.ID, b neutrino.PortBinding) func(*Tx) error {
	return func(tx *Tx) error { _, err := binding.Create(tx, port, b); return err }
}

func activate(port neutrino.ID, host string) func(*Tx) error {
	return func(tx *Tx) error { _, err := binding.Activate(tx, port, host); return err }
}

func dropBinding(port neutrino.ID, host string) func(*Tx) error {
	return func(tx *Tx) error { return binding.Delete(tx, port, host) }
}

func TestAPortMovesBetweenItsBindingsAndBack(t *testing.T) {
	c, n, was := migration(t)
	p := c.storedPort(was.ID)
	if p.HostID != "compute1" || len(p.Standby) != 1 || p.Standby[0].Status != neutrino.BindingInactive || p.Standby[0].VIFType != neutrino.VIFOVS {
		t.Fatalf("bindings %+v", binding.Of(p))
	}
	if c.vlan("compute1", n) == 0 || c.vlan("compute2", n) == 0 {
		t.Error("the network is not on both hosts")
	}
	zone := p.Standby[0].CTZone
	c.do(admin, activate(p.ID, "compute2"))
	p = c.storedPort(p.ID)
	if p.HostID != "compute2" || p.CTZone != zone || p.Profile != `{"migrating":true}` || p.Status != neutrino.PortDown {
		t.Errorf("moved %+v", p)
	}
	if s := p.Standby; len(s) != 1 || s[0].Host != "compute1" || s[0].CTZone != was.CTZone || s[0].Profile != `{"a":1}` {
		t.Errorf("left %+v", s)
	}
	c.do(admin, activate(p.ID, "compute1"))
	c.do(admin, dropBinding(p.ID, "compute2"))
	if p = c.storedPort(p.ID); p.HostID != "compute1" || p.CTZone != was.CTZone || len(p.Standby) != 0 || c.vlan("compute2", n) != 0 {
		t.Errorf("back %+v", p)
	}
}

func TestWithoutItsActiveBindingAPortIsBoundNowhere(t *testing.T) {
	c, n, p := migration(t)
	c.do(admin, dropBinding(p.ID, "compute1"))
	if p := c.storedPort(p.ID); p.HostID != "" || p.VIFType != neutrino.VIFUnbound || len(p.Standby) != 1 || c.vlan("compute1", n) != 0 {
		t.Errorf("port %+v", p)
	}
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute1"}))
	if p := c.storedPort(p.ID); p.HostID != "compute1" || p.VIFType != neutrino.VIFOVS {
		t.Errorf("the first binding of a port is not active: %+v", p)
	}
}

func TestBindingsGoWithWhatTheyAreOf(t *testing.T) {
	c, n, p := migration(t)
	// Nova of old moves the port itself: the new host's binding becomes the port's.
	c.updatePort(admin, p.ID, onHost("compute2"), "binding:host_id")
	if p := c.storedPort(p.ID); len(p.Standby) != 0 || p.VIFType != neutrino.VIFOVS || c.vlan("compute1", n) != 0 {
		t.Errorf("port %+v", p)
	}
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute1"}))
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.DeviceOwner, p.DeviceID = "", "" }, "device_owner", "device_id")
	if p := c.storedPort(p.ID); len(p.Standby) != 0 || c.vlan("compute1", n) != 0 {
		t.Errorf("no instance's port may move: %+v", p.Standby)
	}
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.DeviceOwner = "compute:nova" }, "device_owner")
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute1"}))
	c.do(admin, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	if c.vlan("compute1", n) != 0 || c.vlan("compute2", n) != 0 {
		t.Error("the network stays where no port is")
	}
}

func TestBindingsThatAreRefused(t *testing.T) {
	c, n, p := migration(t)
	plain := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "compute1"})
	c.refused(admin, "BadRequest", addBinding(plain.ID, neutrino.PortBinding{Host: "compute2"}))
	for _, host := range []string{"compute1", "compute2"} {
		c.refused(admin, "PortBindingAlreadyExists", addBinding(p.ID, neutrino.PortBinding{Host: host}))
	}
	c.refused(admin, "PortBindingError", addBinding(p.ID, neutrino.PortBinding{Host: "nowhere"}))
	c.refused(admin, "PortBindingAlreadyActive", activate(p.ID, "compute1"))
	c.refused(admin, "PortBindingNotFound", activate(p.ID, "nowhere"))
	c.refused(admin, "PortBindingNotFound", dropBinding(p.ID, "nowhere"))
	c.refused(admin, "PortBindingNotFound", dropBinding(p.ID, ""))
	for _, host := range []string{"", "a b", "a/b", "a\nb"} {
		c.refused(admin, "InvalidInput", addBinding(p.ID, neutrino.PortBinding{Host: host}))
	}
	c.refused(bob, "PortNotFound", activate(p.ID, "compute2"))
}

func TestABindingChangesItsHost(t *testing.T) {
	c, n, p := migration(t)
	c.register("compute3")
	move := func(from, to string) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := binding.Update(tx, p.ID, from, func(b *neutrino.PortBinding) error { b.Host = to; return nil })
			return err
		}
	}
	c.refused(admin, "PortBindingAlreadyExists", move("compute2", "compute1"))
	c.refused(admin, "PortBindingError", move("compute2", "nowhere"))
	c.do(admin, move("compute2", "compute3"))
	if c.vlan("compute2", n) != 0 || c.vlan("compute3", n) == 0 {
		t.Error("the network did not go along")
	}
	c.do(admin, move("compute1", "compute2"))
	if p := c.storedPort(p.ID); p.HostID != "compute2" || p.Standby[0].Host != "compute3" || c.vlan("compute1", n) != 0 {
		t.Errorf("port %+v", p)
	}
}
