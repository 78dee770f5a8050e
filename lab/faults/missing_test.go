package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/lab"
)

// shown waits until a host's agent of a type shows the object with the words
// among its conditions in the API.
func (w *world) shown(h *lab.Host, agentType, object, words string) {
	w.Helper()
	w.until(reportTime, func() error {
		var all []neutrino.Pending
		for _, a := range w.list("agents", lab.Query{"host": h.Name, "agent_type": agentType}) {
			all = append(all, lab.Conditions(a)...)
		}
		for _, c := range all {
			if strings.Contains(c.Object, object) && strings.Contains(c.Reason, words) {
				return nil
			}
		}
		return fmt.Errorf("the %s of %s shows no %s with %q: %v", agentType, h.Name, object, words, all)
	})
}

// sound waits until no agent of a host shows anything.
func (w *world) sound(h *lab.Host) {
	w.Helper()
	w.asWanted(20 * time.Second)
	w.until(reportTime, func() error {
		var errs []error
		for _, a := range w.list("agents", lab.Query{"host": h.Name}) {
			if c := lab.Conditions(a); len(c) > 0 {
				errs = append(errs, fmt.Errorf("%s shows %v", a.Text("agent_type"), c))
			}
		}
		return errors.Join(errs...)
	})
}

// Without dnsmasq a new network has no DHCP, which is said with the package to
// install; the networks that are served go on, and the new one is served as
// soon as dnsmasq is there.
func TestWithoutDNSMasqOnlyNewNetworksWait(t *testing.T) {
	w := story(t)
	a := w.instance(lab.InstanceSpec{Name: "absent-a"})
	program := strings.TrimSpace(w.sh(w.network, "command -v dnsmasq || echo /usr/sbin/dnsmasq"))
	hidden := false
	restore := func() {
		if hidden {
			hidden = false
			_, err := w.network.Run(context.Background(), "umount", program)
			w.late(err)
		}
	}
	w.Cleanup(restore)
	w.sh(w.network, "touch /run/none; chmod 644 /run/none; mount --bind /run/none "+program)
	hidden = true
	network := w.subnet("absent", "10.93.0.0/24")
	object := neutrino.NetworkObject(neutrino.ID(network))
	w.reported(w.network, object, `dnsmasq is not installed: install the package "dnsmasq-base"`)
	w.shown(w.network, neutrino.AgentDHCP, object, "not installed")
	before := w.sh(w.network, "cat "+dhcpRoot+"/"+w.seed+"/pid")
	lease, err := a.AwaitLease(w.ctx)
	w.must(errors.Join(err, a.Ping(w.ctx, lab.SeedDHCP)))
	if lease.Address != a.Address || w.sh(w.network, "cat "+dhcpRoot+"/"+w.seed+"/pid") != before {
		t.Errorf("the network that was served is disturbed: %+v", lease)
	}
	restore()
	took := w.until(40*time.Second, func() error { return w.quiet(w.network) })
	t.Logf("served %v after dnsmasq was there", took.Round(time.Millisecond))
	w.instance(lab.InstanceSpec{Name: "absent-b", Network: network}) // and gets its lease
	w.sound(w.network)
}

// The operator's bridge is gone: the gateway port and its router's way out are
// said to wait for it, instances reach each other, and with the bridge all is back.
func TestAMissingProviderBridgeHarmsTheWayOutAlone(t *testing.T) {
	w := story(t)
	a, b := w.instance(lab.InstanceSpec{Name: "bridge-a"}), w.instance(lab.InstanceSpec{Name: "bridge-b"})
	gateway := w.list("ports", lab.Query{"device_owner": neutrino.OwnerGateway})[0].ID()
	outside := func() error { return a.Ping(w.ctx, lab.OutsideFar) }
	w.until(repairTime, outside)
	nics := strings.Fields(w.sh(w.network, "ovs-vsctl list-ports "+lab.ProviderBridge+" | grep ^eth"))
	missing := true
	restore := func() {
		if missing {
			missing = false
			text := "ovs-vsctl --may-exist add-br " + lab.ProviderBridge + " -- set Bridge " + lab.ProviderBridge + " datapath_type=netdev; ip link set " + lab.ProviderBridge + " up"
			for _, nic := range nics {
				text += "; ovs-vsctl --may-exist add-port " + lab.ProviderBridge + " " + nic
			}
			_, err := w.network.Run(context.Background(), "sh", "-ec", text)
			w.late(err)
		}
	}
	w.Cleanup(restore)
	w.sh(w.network, "ovs-vsctl del-br "+lab.ProviderBridge)
	w.reported(w.network, neutrino.PortObject(neutrino.ID(gateway)), lab.ProviderBridge)
	w.shown(w.network, neutrino.AgentL3, neutrino.PortObject(neutrino.ID(gateway)), lab.ProviderBridge)
	w.until(reportTime, func() error { return w.portStatus(gateway, string(neutrino.PortDown)) })
	w.must(errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)))
	restore()
	w.until(40*time.Second, func() error { return errors.Join(outside(), w.portStatus(gateway, string(neutrino.PortActive))) })
	w.sound(w.network)
}

// The host's configuration maps another physical network: the gateway port is
// said to have no bridge, with what to write where; with the right mapping all
// is back.
func TestAWrongBridgeMappingIsSaid(t *testing.T) {
	w := story(t)
	a, b := w.instance(lab.InstanceSpec{Name: "mapping-a"}), w.instance(lab.InstanceSpec{Name: "mapping-b"})
	gateway := w.list("ports", lab.Query{"device_owner": neutrino.OwnerGateway})[0].ID()
	outside := func() error { return a.Ping(w.ctx, lab.OutsideFar) }
	w.until(repairTime, outside)
	file := filepath.Join(w.network.Dir(), "neutron.conf")
	rewrite := func(from, to string) error {
		_, err := w.network.Run(context.Background(), "sed", "-i", "s/^bridge_mappings = "+from+":/bridge_mappings = "+to+":/", file)
		return errors.Join(err, w.network.Restart(context.Background(), agentProcess))
	}
	wrong := true
	restore := func() {
		if wrong {
			wrong = false
			w.late(rewrite("elsewhere", lab.PhysicalNetwork))
		}
	}
	w.Cleanup(restore)
	w.must(rewrite(lab.PhysicalNetwork, "elsewhere"))
	const words = "add public:<bridge> to [ovs] bridge_mappings"
	w.reported(w.network, neutrino.PortObject(neutrino.ID(gateway)), words)
	w.shown(w.network, neutrino.AgentL3, neutrino.PortObject(neutrino.ID(gateway)), words)
	w.until(reportTime, func() error { return w.portStatus(gateway, string(neutrino.PortDown)) })
	w.must(errors.Join(a.Ping(w.ctx, b.Address), a.Ping(w.ctx, lab.SeedDHCP)))
	restore()
	w.until(40*time.Second, func() error { return errors.Join(outside(), w.portStatus(gateway, string(neutrino.PortActive))) })
	w.sound(w.network)
}
