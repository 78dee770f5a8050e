package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// From linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const (
	subsysConntrack = 1
	msgGet          = 1
	msgDelete       = 2
	attrOrig        = 1
	attrReply       = 2
	attrStatus      = 3
	attrID          = 12
	attrMaster      = 14
	attrZone        = 18
	tupleIP         = 1
	tupleProto      = 2
	tupleZone       = 3

	statusSeenReply = 1 << 1 // IPS_SEEN_REPLY of linux/netfilter/nf_conntrack_common.h
)

// tuple is the original direction of an entry; kind and code are ICMP's.
type tuple struct {
	src, dst     netip.Addr
	protocol     uint8
	sport, dport uint16
	icmpID       uint16
	kind, code   uint8
}

func (t tuple) String() string {
	switch {
	case hasPorts(int(t.protocol)):
		return fmt.Sprintf("protocol %d %s port %d to %s port %d", t.protocol, t.src, t.sport, t.dst, t.dport)
	case isICMP(int(t.protocol)):
		return fmt.Sprintf("protocol %d %s to %s type %d code %d", t.protocol, t.src, t.dst, t.kind, t.code)
	}
	return fmt.Sprintf("protocol %d %s to %s", t.protocol, t.src, t.dst)
}

// entry is one connection. orig and id are the kernel's own bytes, by which it
// is deleted and nothing else that came in its place.
type entry struct {
	family   uint8
	zone     uint16
	tuple    tuple
	reply    tuple // what the other side sends: its ends differ where there is NAT
	answered bool  // the other side has sent something
	expected bool
	master   tuple
	orig, id []byte
}

// dump reads the entries of the zones that are asked for, in one pass, and of
// them those that all of the picks take.
func dump(ctx context.Context, wanted func(zone uint16) bool, picks ...func(entry) bool) ([]entry, error) {
	var err error
	for range 5 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var out []entry
		req := nl.NewNetlinkRequest(subsysConntrack<<8|msgGet, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		err = req.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(msg []byte) bool {
			e, ok := parseEntry(msg, wanted)
			for _, pick := range picks {
				ok = ok && pick(e)
			}
			if ok {
				out = append(out, e)
			}
			return true
		})
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, nl.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return nil, err
		}
	}
	return nil, err
}

// attrs calls f for each attribute; it reports whether the bytes were sound.
func attrs(b []byte, f func(kind uint16, value []byte)) bool {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return false
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:size])
		b = b[min((size+3)&^3, len(b)):]
	}
	return true
}

// parseEntry reads one message of a dump. The bytes it keeps are its own.
func parseEntry(msg []byte, wanted func(zone uint16) bool) (entry, bool) {
	if len(msg) < 4 {
		return entry{}, false
	}
	e := entry{family: msg[0]}
	var orig, reply, id, master []byte
	sound := attrs(msg[4:], func(kind uint16, v []byte) {
		switch {
		case kind == attrOrig:
			orig = v
		case kind == attrReply:
			reply = v
		case kind == attrID:
			id = v
		case kind == attrMaster:
			master = v
		case kind == attrStatus && len(v) == 4:
			e.answered = binary.BigEndian.Uint32(v)&statusSeenReply != 0
		case kind == attrZone && len(v) == 2:
			e.zone = binary.BigEndian.Uint16(v)
		}
	})
	if !sound || orig == nil {
		return entry{}, false
	}
	if e.zone == 0 { // a zone of one direction stands in the tuple
		attrs(orig, func(kind uint16, v []byte) {
			if kind == tupleZone && len(v) == 2 {
				e.zone = binary.BigEndian.Uint16(v)
			}
		})
	}
	if !wanted(e.zone) {
		return entry{}, false
	}
	var ok bool
	if e.tuple, ok = parseTuple(orig); !ok {
		return entry{}, false
	}
	if reply != nil {
		e.reply, _ = parseTuple(reply)
	}
	if master != nil {
		e.master, e.expected = parseTuple(master)
	}
	e.orig, e.id = append([]byte(nil), orig...), append([]byte(nil), id...)
	return e, true
}

func parseTuple(b []byte) (tuple, bool) {
	var t tuple
	sound := true
	sound = attrs(b, func(kind uint16, v []byte) {
		switch kind {
		case tupleIP:
			sound = attrs(v, t.address) && sound
		case tupleProto:
			sound = attrs(v, t.transport) && sound
		}
	}) && sound
	return t, sound && t.src.IsValid() && t.dst.IsValid()
}

// address takes CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST.
func (t *tuple) address(kind uint16, v []byte) {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return
	}
	switch kind {
	case 1, 3:
		t.src = a
	case 2, 4:
		t.dst = a
	}
}

// transport takes CTA_PROTO_NUM, the ports, and ICMP's and ICMPv6's id, type and code.
func (t *tuple) transport(kind uint16, v []byte) {
	switch {
	case kind == 1 && len(v) == 1:
		t.protocol = v[0]
	case kind == 2 && len(v) == 2:
		t.sport = binary.BigEndian.Uint16(v)
	case kind == 3 && len(v) == 2:
		t.dport = binary.BigEndian.Uint16(v)
	case (kind == 4 || kind == 7) && len(v) == 2:
		t.icmpID = binary.BigEndian.Uint16(v)
	case (kind == 5 || kind == 8) && len(v) == 1:
		t.kind = v[0]
	case (kind == 6 || kind == 9) && len(v) == 1:
		t.code = v[0]
	}
}

// socket is kept open over many deletions.
type socket struct{ handles map[int]*nl.SocketHandle }

func open() (*socket, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return &socket{map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}}, nil
}

func (s *socket) close() { s.handles[unix.NETLINK_NETFILTER].Close() }

// remove deletes an entry. One that has gone by itself is no error.
func (s *socket) remove(e entry) error {
	req := nl.NewNetlinkRequest(subsysConntrack<<8|msgDelete, unix.NLM_F_ACK)
	req.Sockets = s.handles
	req.AddData(&nl.Nfgenmsg{NfgenFamily: e.family, Version: nl.NFNETLINK_V0})
	req.AddData(nl.NewRtAttr(attrOrig|unix.NLA_F_NESTED, e.orig))
	if len(e.id) > 0 {
		req.AddData(nl.NewRtAttr(attrID, e.id))
	}
	req.AddData(nl.NewRtAttr(attrZone, binary.BigEndian.AppendUint16(nil, e.zone)))
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
