package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
)

// The names under which a host's processes are recorded.
const (
	processOVSDB    = "ovsdb-server"
	processVswitchd = "ovs-vswitchd"
	processServer   = "neutrino-server"
	processAgent    = "neutrino-agent"
	processHolder   = "holder"
)

// Where Open vSwitch keeps its things on a host, and where Debian's package
// has the schema.
const (
	ovsDatabase = "/etc/openvswitch/conf.db"
	ovsSocket   = "/run/openvswitch/db.sock"
	ovsSchema   = "/usr/share/openvswitch/vswitch.ovsschema"
	ovsRunDir   = "/run/openvswitch"
)

// underlayBridge holds the NIC: the userspace datapath routes tunnel packets
// itself and reaches the NIC only through a bridge of its own, whose local
// port has the host's address.
const underlayBridge = "br-phy"

// startOVS gives the host its own Open vSwitch, started as Debian's scripts
// start it, and connects it to the underlay.
func (h *Host) startOVS(ctx context.Context) error {
	if _, err := h.Run(ctx, "ovsdb-tool", "create", ovsDatabase, ovsSchema); err != nil {
		return h.fail(ctx, processOVSDB, err)
	}
	_, err := h.Start(ctx, processOVSDB, "ovsdb-server", ovsDatabase,
		"--remote=punix:"+ovsSocket, "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
		"--pidfile="+filepath.Join(ovsRunDir, "ovsdb-server.pid"), "--no-chdir", "-vsyslog:off", "-vconsole:info")
	if err != nil {
		return h.fail(ctx, processOVSDB, err)
	}
	if err := h.awaitSocket(ctx, processOVSDB, ovsSocket); err != nil {
		return h.fail(ctx, processOVSDB, err)
	}
	_, err = h.Run(ctx, "ovs-vsctl", "--timeout=10", "--retry", "--no-wait", "--", "init", "--",
		"set", "Open_vSwitch", ".", "external_ids:hostname="+h.Name, "external_ids:system-id="+h.Name,
		// Few threads: several switches share a small machine.
		"other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1")
	if err != nil {
		return h.fail(ctx, processOVSDB, err)
	}
	_, err = h.Start(ctx, processVswitchd, "ovs-vswitchd", "unix:"+ovsSocket,
		"--pidfile="+filepath.Join(ovsRunDir, "ovs-vswitchd.pid"), "--no-chdir", "-vsyslog:off", "-vconsole:info")
	if err != nil {
		return h.fail(ctx, processVswitchd, err)
	}
	return h.fail(ctx, processVswitchd, h.plugUnderlay(ctx))
}

// awaitSocket waits until a process has made its socket in the host's /run.
// (ovs-vsctl --retry would do, but sleeps a whole second.)
func (h *Host) awaitSocket(ctx context.Context, process, socket string) error {
	path := filepath.Join("/proc", strconv.Itoa(h.Holder), "root", socket)
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return h.awaitUnlessDead(wait, process, func() error {
		_, err := os.Stat(path)
		return err
	})
}

// plugUnderlay puts the NIC into br-phy and the address on br-phy. It can be
// repeated, and must be when ovs-vswitchd was started again.
func (h *Host) plugUnderlay(ctx context.Context) error {
	_, err := h.Run(ctx, "ovs-vsctl", "--timeout=10", "--retry",
		"--", "--may-exist", "add-br", underlayBridge,
		"--", "set", "Bridge", underlayBridge, "datapath_type=netdev", "fail_mode=standalone",
		"--", "--may-exist", "add-port", underlayBridge, uplinkName)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(wait, 20*time.Millisecond, func() error {
		return inNamespace(wait, h.Holder, func(n *netlink.Handle) error {
			link, err := n.LinkByName(underlayBridge)
			if err != nil {
				return fmt.Errorf("lab: %s: find %s: %w", h.Name, underlayBridge, err)
			}
			if err := n.LinkSetUp(link); err != nil {
				return fmt.Errorf("lab: %s: %s up: %w", h.Name, underlayBridge, err)
			}
			return addAddress(n, link, h.underlayAddress())
		})
	})
}

// greet pings a host over the underlay. It proves the underlay, and it teaches
// the userspace datapath its neighbour, which otherwise costs the first
// tunnelled packet.
func (h *Host) greet(ctx context.Context, other HostRecord) error {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(wait, 50*time.Millisecond, func() error {
		_, err := h.Run(wait, "busybox", "ping", "-c", "1", "-W", "1", other.Address.String())
		return err
	})
}
