package vif

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino/host/link"
)

// insideName is the instance's device in a namespace.
const insideName = "eth0"

// firewallBridge makes qbr…: a bridge that forwards at once and to both of its
// ports, whatever it has seen (ageing 0), and that the host has no part in.
func (w *wiring) firewallBridge() error {
	flags := unix.NLM_F_ACK
	if _, err := w.find(w.qbr, "bridge"); errors.Is(err, errAbsent) {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	} else if err != nil {
		return err
	}
	if err := setBridge(w.qbr, flags); err != nil {
		return fmt.Errorf("make bridge %s: %w", w.qbr, err)
	}
	for name, value := range map[string]string{"arp_ignore": "1", "arp_announce": "2"} {
		if err := link.WriteSysctl("net.ipv4.conf."+w.qbr+"."+name, value); err != nil {
			return err
		}
	}
	noIPv6(w.qbr)
	return w.dress(w.qbr, dress{})
}

// setBridge makes or changes a bridge: stp 0, forward delay 0, ageing 0,
// multicast snooping 0. Netlink and not sysfs, which shows the namespace that
// it was mounted in.
func setBridge(name string, flags int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, flags)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_BR_STP_STATE, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_FORWARD_DELAY, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_AGEING_TIME, nl.Uint32Attr(0))
	data.AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, nl.Uint8Attr(0))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// vethPair makes qvb… and qvo…. A half pair, which a crash cannot leave but a
// person can, is made anew.
func (w *wiring) vethPair() error {
	qvb, errB := w.find(w.qvb, "veth")
	qvo, errO := w.find(w.qvo, "veth")
	for _, err := range []error{errB, errO} {
		if err != nil && !errors.Is(err, errAbsent) {
			return err
		}
	}
	if errB != nil || errO != nil || qvb.Attrs().ParentIndex != qvo.Attrs().Index {
		for _, name := range []string{w.qvb, w.qvo} {
			if err := w.remove(name, "veth"); err != nil {
				return err
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = w.qvb
		if err := w.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: w.qvo}); err != nil {
			return fmt.Errorf("make %s and %s: %w", w.qvb, w.qvo, err)
		}
	}
	// OVS in user space reads qvo from a socket, so what qvb sends into it must
	// have its checksums filled in; nothing is lost with the kernel's datapath,
	// where the instance's own offload ends at the firewall bridge.
	for _, name := range []string{w.qvb, w.qvo} {
		if err := link.TxChecksumOff(name); err != nil {
			return err
		}
		noIPv6(name)
	}
	if err := w.dress(w.qvb, dress{promisc: true, master: w.qbr, mtu: w.options.MTU}); err != nil {
		return err
	}
	return w.dress(w.qvo, dress{promisc: true, mtu: w.options.MTU})
}

// plugTap makes the instance's side, where that is asked of us.
func (w *wiring) plugTap() error {
	switch w.options.Tap.Kind {
	case TapLater:
		return nil
	case TapTun:
		if err := w.tun(); err != nil {
			return err
		}
	case TapNamespace:
		if err := w.into(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("tap of kind %q is not one of %q, %q", w.options.Tap.Kind, TapTun, TapNamespace)
	}
	noIPv6(w.tap)
	return w.dress(w.tap, dress{master: w.qbr, mtu: w.options.MTU})
}

func (w *wiring) tun() error {
	_, err := w.find(w.tap, "tuntap", "tun")
	if !errors.Is(err, errAbsent) {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.tap
	if err := w.nl.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}); err != nil {
		return fmt.Errorf("make tap device %s: %w", w.tap, err)
	}
	return nil
}

// into makes a veth pair with its other end in the instance's namespace.
func (w *wiring) into() error {
	fd, err := netns.GetFromPath(w.namespacePath())
	if err != nil {
		return fmt.Errorf("namespace %s: %w", w.options.Tap.NetNS, err)
	}
	defer fd.Close()
	nlh, err := netlink.NewHandleAt(fd, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", w.options.Tap.NetNS, err)
	}
	defer nlh.Close()
	inside := &wiring{nl: nlh}
	tap, err := w.find(w.tap, "veth")
	if err != nil && !errors.Is(err, errAbsent) {
		return err
	}
	eth, missing := inside.find(insideName, "veth")
	if err != nil || missing != nil || eth.Attrs().ParentIndex != tap.Attrs().Index || tap.Attrs().ParentIndex != eth.Attrs().Index {
		if err := w.remove(w.tap, "veth"); err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = w.tap
		// One message makes both ends where they belong: nothing is half done.
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: insideName, PeerNamespace: netlink.NsFd(fd), PeerHardwareAddr: w.mac[:]}
		if err := w.nl.LinkAdd(pair); err != nil {
			return fmt.Errorf("make %s and %s in namespace %s: %w", w.tap, insideName, w.options.Tap.NetNS, err)
		}
	}
	return inside.dress(insideName, dress{mac: w.mac[:], mtu: w.options.MTU})
}

// noIPv6 keeps the host off the tenant's wire: without it the kernel gives
// each device a link-local address and talks. A kernel without IPv6 has no
// such setting.
func noIPv6(device string) {
	_ = link.WriteSysctl("net.ipv6.conf."+device+".disable_ipv6", "1")
}

// errAbsent is a device that is not there.
var errAbsent = errors.New("no such device")

// find is a device of one of the kinds; another kind under its name is an error.
func (w *wiring) find(name string, kinds ...string) (netlink.Link, error) {
	l, err := w.nl.LinkByName(name)
	var no netlink.LinkNotFoundError
	if errors.As(err, &no) {
		return nil, fmt.Errorf("%s: %w", name, errAbsent)
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	if !slices.Contains(kinds, l.Type()) {
		return nil, fmt.Errorf("device %s exists and is of kind %s, not %s", name, l.Type(), strings.Join(kinds, " or "))
	}
	return l, nil
}

// remove deletes a device of one of the kinds, if it is there.
func (w *wiring) remove(name string, kinds ...string) error {
	l, err := w.find(name, kinds...)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if err == nil {
		err = w.nl.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// dress is what a device is to be like, beside being up.
type dress struct {
	promisc bool
	master  string // bridge
	mtu     int    // 0 for any
	mac     net.HardwareAddr
}

// dress changes what differs and sets the device up.
func (w *wiring) dress(name string, d dress) error {
	l, err := w.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	a := l.Attrs()
	fail := func(what string, err error) error { return fmt.Errorf("%s of %s: %w", what, name, err) }
	if d.mac != nil && !bytes.Equal(a.HardwareAddr, d.mac) {
		if err := w.nl.LinkSetHardwareAddr(l, d.mac); err != nil {
			return fail("MAC", err)
		}
	}
	if d.mtu > 0 && a.MTU != d.mtu {
		if err := w.nl.LinkSetMTU(l, d.mtu); err != nil {
			return fail("MTU", err)
		}
	}
	if d.promisc && a.RawFlags&unix.IFF_PROMISC == 0 {
		if err := w.nl.SetPromiscOn(l); err != nil {
			return fail("promiscuous mode", err)
		}
	}
	if d.master != "" {
		if err := w.enslave(l, d.master); err != nil {
			return fail("bridge", err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := w.nl.LinkSetUp(l); err != nil {
			return fail("state up", err)
		}
	}
	return nil
}

func (w *wiring) enslave(l netlink.Link, bridge string) error {
	b, err := w.nl.LinkByName(bridge)
	if err != nil || b.Attrs().Index == l.Attrs().MasterIndex {
		return err
	}
	return w.nl.LinkSetMaster(l, b)
}
