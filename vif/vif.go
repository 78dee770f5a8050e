// Package vif plugs an instance's port into a host as Nova's os-vif does for
// hybrid wiring (dataplane.md section 6.2, steps 1 to 4): tap… on a firewall
// bridge qbr…, and a veth pair qvb…/qvo… from there to the integration bridge.
// The agent takes it from there, whoever plugged.
package vif

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino"
	"neutrino/host/ovsdb"
	"neutrino/plan/names"
)

// TapKind says what stands at the instance's side of the firewall bridge.
type TapKind string

// The kinds.
const (
	// TapLater leaves the tap device to whoever starts the instance, as Nova
	// leaves it to libvirt.
	TapLater TapKind = ""
	// TapTun is a persistent tap device for a virtual machine, of one queue and
	// owned by root (tun/tap driver).
	TapTun TapKind = "tun"
	// TapNamespace is a veth pair into a network namespace, eth0 there.
	TapNamespace TapKind = "namespace"
)

// Tap describes the instance's side.
type Tap struct {
	Kind TapKind
	// NetNS is the namespace of [TapNamespace]: a name in RunDir, or a path.
	NetNS string
	// RunDir holds the names of namespaces, "/run/netns" when empty.
	RunDir string
}

// Options say which port is plugged where.
type Options struct {
	PortID string // the port's UUID
	MAC    string // the port's MAC
	// MTU of the network, in bytes, for every device; 0 leaves the kernel's.
	MTU        int
	InstanceID string // UUID of the instance, "" for none
	// Bridge is the integration bridge, "br-int" when empty. It has to exist.
	Bridge string
	// OVSDBSocket is as in [ovsdb.Options].
	OVSDBSocket string
	Tap         Tap
}

// wiring is a port that is being plugged or unplugged.
type wiring struct {
	options            Options
	mac                neutrino.MAC
	qbr, qvb, qvo, tap string
	nl                 *netlink.Handle
}

func newWiring(o Options) (*wiring, error) {
	if !neutrino.IsUUID(o.PortID) {
		return nil, fmt.Errorf("vif: port %q is not a UUID", o.PortID)
	}
	if o.Bridge == "" {
		o.Bridge = "br-int"
	}
	if o.Tap.RunDir == "" {
		o.Tap.RunDir = "/run/netns"
	}
	nlh, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("vif: netlink: %w", err)
	}
	id := neutrino.ID(o.PortID)
	return &wiring{options: o, qbr: names.QBR(id), qvb: names.QVB(id), qvo: names.QVO(id), tap: names.Tap(id), nl: nlh}, nil
}

// Plug makes the devices of a port and its row in OVSDB, on the dead VLAN until
// the agent has filtered it. Plugging again completes and repairs what is
// there; a port that is wired already keeps its VLAN.
func Plug(ctx context.Context, o Options) error {
	w, err := newWiring(o)
	if err != nil {
		return err
	}
	defer w.nl.Close()
	if err := w.devices(ctx); err != nil {
		return fmt.Errorf("vif: plug port %s: %w", o.PortID, err)
	}
	// The row comes last: who sees it finds everything else in its place.
	err = w.database(ctx, func(ctx context.Context, db *ovsdb.DB) error { return db.PlugVIF(ctx, w.row()) })
	if err != nil {
		return fmt.Errorf("vif: plug port %s: %w", o.PortID, err)
	}
	return nil
}

// Prepare makes the devices of a port and leaves the row in OVSDB to a later
// [Plug].
func Prepare(ctx context.Context, o Options) error {
	w, err := newWiring(o)
	if err != nil {
		return err
	}
	defer w.nl.Close()
	if err := w.devices(ctx); err != nil {
		return fmt.Errorf("vif: prepare port %s: %w", o.PortID, err)
	}
	return nil
}

func (w *wiring) devices(ctx context.Context) (err error) {
	if w.mac, err = neutrino.ParseMAC(w.options.MAC); err != nil {
		return err
	}
	for _, step := range []func() error{w.firewallBridge, w.vethPair, w.plugTap} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Unplug removes what [Plug] made. What is not there is no error, and what
// could not be removed does not stop the rest.
func Unplug(ctx context.Context, o Options) error {
	w, err := newWiring(o)
	if err != nil {
		return err
	}
	defer w.nl.Close()
	errs := []error{w.database(ctx, func(ctx context.Context, db *ovsdb.DB) error { return db.UnplugVIF(ctx, w.row()) })}
	for _, device := range []struct {
		name  string
		kinds []string
	}{{w.tap, []string{"tuntap", "tun", "veth"}}, {w.qvb, []string{"veth"}}, {w.qvo, []string{"veth"}}, {w.qbr, []string{"bridge"}}} {
		errs = append(errs, w.remove(device.name, device.kinds...))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("vif: unplug port %s: %w", o.PortID, err)
	}
	return nil
}

func (w *wiring) row() ovsdb.Plug {
	return ovsdb.Plug{Device: w.qvo, Bridge: w.options.Bridge, PortID: w.options.PortID, MAC: w.mac.String(), Instance: w.options.InstanceID}
}

// database does something with a connection of its own to OVSDB.
func (w *wiring) database(ctx context.Context, do func(context.Context, *ovsdb.DB) error) error {
	ctx, cancel := context.WithCancel(ctx)
	db := ovsdb.New(ovsdb.Options{Socket: w.options.OVSDBSocket, IntegrationBridge: w.options.Bridge})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = db.Run(ctx) // ends with the context; what fails is told by do
	}()
	err := do(ctx, db)
	cancel()
	<-done
	return err
}

// namespacePath is where the instance's namespace has its name.
func (w *wiring) namespacePath() string {
	if filepath.IsAbs(w.options.Tap.NetNS) {
		return w.options.Tap.NetNS
	}
	return filepath.Join(w.options.Tap.RunDir, w.options.Tap.NetNS)
}
