package link

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino/host"
)

const errNoDevice = unix.ENODEV

// A new pair has temporary names until its ends have their aliases: a crash
// in between leaves something that is recognised and removed.
const temporary = "neutr-"

func isTemporary(l netlink.Link) bool {
	return l.Type() == "veth" && len(l.Attrs().Name) == len(temporary)+9 && strings.HasPrefix(l.Attrs().Name, temporary)
}

func temporaryName(k host.LinkKey) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%s", k.NetNS, k.Name)
	return fmt.Sprintf("%s%08x", temporary, h.Sum32())
}

// veth is one pair that is being made or repaired.
type veth struct {
	hands *Hands
	key   host.LinkKey
	want  host.Link
}

// create makes the pair in the agent's namespace and brings its ends where
// they belong.
func (v *veth) create() error {
	root, name := v.hands.places[""], temporaryName(v.key)
	first, other := name+"a", name+"b"
	if err := v.hands.deleteDevice("", first); err != nil {
		return err
	}
	if err := v.hands.deleteDevice("", other); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = first, v.want.MTU
	l := &netlink.Veth{LinkAttrs: attrs, PeerName: other, PeerMTU: uint32(v.want.MTU)}
	if err := root.nl.LinkAdd(l); err != nil {
		return fmt.Errorf("make the pair: %w", err)
	}
	err := v.move(first, v.key, v.mark(""))
	if err == nil {
		err = v.move(other, host.LinkKey{NetNS: v.want.PeerNS, Name: v.want.Peer}, v.mark(v.key.Name))
	}
	if err == nil {
		err = v.finish()
	}
	if err != nil {
		// Either end takes the other with it, wherever it has got to.
		_ = v.hands.deleteDevice("", first)
		_ = v.hands.deleteDevice("", other)
		if v.hands.clear(v.key) == nil {
			_ = v.hands.clear(host.LinkKey{NetNS: v.want.PeerNS, Name: v.want.Peer})
		}
		return err
	}
	return nil
}

func (v *veth) mark(peerOf string) mark {
	return mark{why: v.want.Why, peerOf: peerOf, mac: peerOf != "" && v.want.PeerMAC != ""}
}

// move gives an end its alias, its namespace and its name.
func (v *veth) move(temp string, to host.LinkKey, m mark) error {
	root, dest := v.hands.places[""], v.hands.places[to.NetNS]
	l, err := root.nl.LinkByName(temp)
	if err != nil {
		return fmt.Errorf("find %s: %w", temp, err)
	}
	if err := root.nl.LinkSetAlias(l, m.text(v.hands.options.AliasPrefix)); err != nil {
		return fmt.Errorf("set the alias of %s: %w", to.Name, err)
	}
	if to.NetNS != "" {
		if err := root.nl.LinkSetNsFd(l, int(dest.fd)); err != nil {
			return fmt.Errorf("move %s to namespace %s: %w", to.Name, to.NetNS, err)
		}
		if l, err = dest.nl.LinkByName(temp); err != nil {
			return fmt.Errorf("find %s in namespace %s: %w", temp, to.NetNS, err)
		}
	}
	if err := dest.nl.LinkSetName(l, to.Name); err != nil {
		return fmt.Errorf("name %s: %w", to.Name, err)
	}
	return nil
}

// finish gives both ends what is wanted of them, and changes only what differs.
func (v *veth) finish() error {
	if v.key.NetNS == "" {
		// The host has no business on a tenant's wire, not even a link-local
		// address. A kernel without IPv6 has nothing to turn off.
		_ = WriteSysctl("net.ipv6.conf."+strings.ReplaceAll(v.key.Name, ".", "/")+".disable_ipv6", "1")
	}
	other := host.LinkKey{NetNS: v.want.PeerNS, Name: v.want.Peer}
	p := v.hands.places[other.NetNS]
	if have, err := txChecksum(p.sock, other.Name); err != nil {
		return err
	} else if have == v.want.NoTxChecksum {
		o := offloadOn
		if v.want.NoTxChecksum {
			o = offloadOff
		}
		if err := setTxChecksum(p.sock, other.Name, o); err != nil {
			return err
		}
	}
	if other.NetNS != "" {
		if err := p.in(func() error { trustMAC(other.Name); return nil }); err != nil {
			return err
		}
	}
	if err := v.dress(other, v.mark(v.key.Name)); err != nil {
		return err
	}
	return v.dress(v.key, v.mark(""))
}

// trustMAC makes the link-local address of a device that is still down one to be
// used at once: its MAC is nobody else's. Waiting costs a router a second, in
// which it resolves no neighbour, and where another host has not let go of the
// same port yet the address would be refused for ever. A kernel without IPv6 has
// nothing to turn off.
func trustMAC(device string) {
	_ = WriteSysctl("net.ipv6.conf."+strings.ReplaceAll(device, ".", "/")+".accept_dad", "0")
}

// dress gives one end its MAC, MTU and alias, and sets it up.
func (v *veth) dress(k host.LinkKey, m mark) error {
	nlh := v.hands.places[k.NetNS].nl
	l, err := nlh.LinkByName(k.Name)
	if err != nil {
		return fmt.Errorf("find %s: %w", k.Name, err)
	}
	a := l.Attrs()
	if m.mac {
		mac, err := net.ParseMAC(v.want.PeerMAC)
		if err != nil {
			return fmt.Errorf("MAC of %s: %w", k.Name, err)
		}
		if !bytes.Equal(a.HardwareAddr, mac) {
			if err := nlh.LinkSetHardwareAddr(l, mac); err != nil {
				return fmt.Errorf("set the MAC of %s: %w", k.Name, err)
			}
		}
	}
	if v.want.MTU > 0 && a.MTU != v.want.MTU {
		if err := nlh.LinkSetMTU(l, v.want.MTU); err != nil {
			return fmt.Errorf("set the MTU of %s: %w", k.Name, err)
		}
	}
	// Whose a device is may change without the device changing.
	if have, _ := parseMark(v.hands.options.AliasPrefix, a.Alias); have.peerOf != m.peerOf || have.mac != m.mac {
		if err := nlh.LinkSetAlias(l, m.text(v.hands.options.AliasPrefix)); err != nil {
			return fmt.Errorf("set the alias of %s: %w", k.Name, err)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := nlh.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", k.Name, err)
		}
	}
	return nil
}
