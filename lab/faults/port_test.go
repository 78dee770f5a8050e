package faults

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"neutrino/lab"
)

// bound is a port on compute1 that nobody has plugged.
func (w *world) bound(name string) lab.Object {
	w.Helper()
	return w.create("ports", lab.Object{"name": name, "network_id": w.seed, "binding:host_id": w.compute.Name,
		"device_owner": "compute:nova", "device_id": "11111111-1111-4111-8111-111111111111"})
}

func (w *world) plug(id, mac string) {
	w.Helper()
	w.sh(w.compute, "ip netns add fault-"+id[:8])
	w.Cleanup(func() {
		_, err := w.compute.Run(w.ctx, "sh", "-ec", w.lab.Binary+" vif unplug --port "+id+"; ip netns delete fault-"+id[:8])
		w.late(err)
	})
	w.sh(w.compute, fmt.Sprintf("%s vif plug --port %s --mac %s --mtu 1458 --instance 11111111-1111-4111-8111-111111111111 --kind namespace --netns fault-%s",
		w.lab.Binary, id, mac, id[:8]))
}

func TestAPortWhoseDeviceNeverAppearsHarmsNobody(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "device-a"})
	absent := w.bound("absent")
	w.reported(w.compute, "port/"+absent.ID(), "")
	w.must(w.portStatus(absent.ID(), "DOWN"))
	b := w.instance(lab.InstanceSpec{Name: "device-b"}) // becomes ACTIVE and gets its lease meanwhile
	w.must(errors.Join(w.portStatus(a.PortID, "ACTIVE"), w.portStatus(b.PortID, "ACTIVE"), w.portStatus(absent.ID(), "DOWN")))
	w.must(a.Ping(w.ctx, b.Address))
	out := w.sh(w.compute, w.lab.Binary+" agent status")
	if !strings.Contains(out, "port/"+absent.ID()) {
		t.Errorf("agent status does not name the port:\n%s", out)
	}
	t.Log(strings.ReplaceAll(out, "\n", "\n    "))
	// When it appears after all, it works.
	w.plug(absent.ID(), absent.Text("mac_address"))
	w.until(repairTime, func() error { return w.portStatus(absent.ID(), "ACTIVE") })
}

func TestAnInterfaceWithAForeignMACStaysOnTheDeadVLAN(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "mac-a"})
	p := w.bound("wrong-mac")
	qvo := "qvo" + p.ID()[:11]
	w.plug(p.ID(), "fa:16:3e:99:99:99")
	w.reported(w.compute, "port/"+p.ID(), "MAC")
	w.must(w.portStatus(p.ID(), "DOWN"))
	if tag := w.sh(w.compute, "ovs-vsctl get Port "+qvo+" tag"); tag != "4095" {
		t.Errorf("VLAN %s, want the dead one", tag)
	}
	w.must(w.portStatus(a.PortID, "ACTIVE"))
	w.must(a.Ping(w.ctx, lab.SeedDHCP))
	w.sh(w.compute, fmt.Sprintf(`ovs-vsctl set Interface %s 'external_ids:attached-mac="%s"'`, qvo, p.Text("mac_address")))
	w.until(repairTime, func() error { return w.portStatus(p.ID(), "ACTIVE") })
	// And when it changes under a live port.
	w.sh(w.compute, fmt.Sprintf(`ovs-vsctl set Interface %s 'external_ids:attached-mac="fa:16:3e:99:99:98"'`, qvo))
	w.reported(w.compute, "port/"+p.ID(), "MAC")
	w.until(repairTime, func() error { return w.portStatus(p.ID(), "DOWN") })
	w.until(repairTime, func() error {
		if tag, err := w.look(w.compute, "ovs-vsctl get Port "+qvo+" tag"); err != nil || tag != "4095" {
			return fmt.Errorf("VLAN %s (%v), want the dead one", tag, err)
		}
		return nil
	})
	w.sh(w.compute, fmt.Sprintf(`ovs-vsctl set Interface %s 'external_ids:attached-mac="%s"'`, qvo, p.Text("mac_address")))
	w.until(repairTime, func() error { return w.portStatus(p.ID(), "ACTIVE") })
}

// Somebody else's device has the name that a DHCP port needs.
func TestANameThatCollidesHarmsOnlyItsNetwork(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "name-a"})
	tap := "tap" + w.dhcpPort[:11]
	other := w.subnet("collision-other", "10.77.0.0/24")
	w.must(w.network.Kill(w.ctx, agentProcess))
	w.sh(w.network, fmt.Sprintf("ip link delete %[1]s; ip link add %[1]s type bridge", tap))
	w.must(w.network.Restart(w.ctx, agentProcess))
	w.reported(w.network, "port/"+w.dhcpPort, tap)
	w.until(repairTime, func() error { return w.portStatus(w.dhcpPort, "DOWN") })
	b := w.instance(lab.InstanceSpec{Name: "name-b", Network: other}) // gets its lease from the same host
	w.must(w.portStatus(b.PortID, "ACTIVE"))
	if kind := w.sh(w.network, "ip -d -o link show "+tap); !strings.Contains(kind, "bridge") {
		t.Errorf("the foreign device was touched: %s", kind)
	}
	w.sh(w.network, "ip link delete "+tap)
	w.until(repairTime, func() error { return a.Ping(w.ctx, lab.SeedDHCP) })
	w.until(repairTime, func() error { return w.portStatus(w.dhcpPort, "ACTIVE") })
}

// subnet makes a network with a subnet and returns its id.
func (w *world) subnet(name, cidr string) string {
	w.Helper()
	n := w.create("networks", lab.Object{"name": name})
	s := w.create("subnets", lab.Object{"network_id": n.ID(), "ip_version": 4, "cidr": cidr})
	w.Logf("network %s, subnet %s", n.ID(), s.ID())
	return n.ID()
}
