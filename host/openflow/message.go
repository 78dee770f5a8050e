package openflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const version14 = 5

// Message types of OpenFlow 1.4.
const (
	typeHello       = 0
	typeError       = 1
	typeEchoRequest = 2
	typeEchoReply   = 3
	typeFeatures    = 5
	typeFeaturesRep = 6
	typeSetConfig   = 9
	typePortStatus  = 12
	typeFlowMod     = 14
	typeMultipart   = 18
	typeMultipartRe = 19
	typeBarrier     = 20
	typeBarrierRep  = 21
	typeSetAsync    = 28
	typeBundle      = 33
	typeBundleAdd   = 34
)

const (
	partFlow        = 1
	partPorts       = 13
	partFlowMonitor = 16

	bundleOpen    = 0
	bundleCommit  = 4
	bundleDiscard = 6
	bundleFlags   = 3 // atomic and ordered

	commandAdd          = 0
	commandDeleteStrict = 4

	anyTable  = 0xff
	anyGroup  = 0xffffffff
	noBuffer  = 0xffffffff
	headerLen = 8
)

// message is one OpenFlow message as it came.
type message struct {
	kind uint8
	xid  uint32
	body []byte
}

// begin starts a message; finish writes its length.
func begin(dst []byte, kind uint8, xid uint32) []byte {
	dst = append(dst, version14, kind, 0, 0)
	return binary.BigEndian.AppendUint32(dst, xid)
}

func finish(dst []byte, at int) []byte {
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(dst)-at))
	return dst
}

func helloMessage(xid uint32) []byte {
	b := begin(nil, typeHello, xid)
	// One element: a bitmap of the versions that we speak.
	b = append(b, 0, 1, 0, 8, 0, 0, 0, 1<<version14)
	return finish(b, 0)
}

// configMessage asks for asynchronous messages, which a management connection
// gets only with a miss length above zero, and then for port status only.
func configMessage(xid uint32) []byte {
	b := begin(nil, typeSetConfig, xid)
	b = finish(append(b, 0, 0, 0, 128), 0)
	at := len(b)
	b = begin(b, typeSetAsync, xid)
	for property := range 6 {
		mask := uint32(0)
		if property == 2 || property == 3 { // port status, as slave and as master
			mask = 7
		}
		b = append(b, 0, byte(property), 0, 8)
		b = binary.BigEndian.AppendUint32(b, mask)
	}
	return finish(b, at)
}

func multipartMessage(xid uint32, part uint16, body []byte) []byte {
	b := begin(nil, typeMultipart, xid)
	b = binary.BigEndian.AppendUint16(b, part)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return finish(append(b, body...), 0)
}

// emptyMatch is an ofp_match that matches everything.
var emptyMatch = [8]byte{0, 1, 0, 4}

func flowRequest() []byte {
	be := binary.BigEndian
	b := append([]byte{anyTable, 0, 0, 0}, 0, 0, 0, 0)
	be.PutUint32(b[4:], portAny)
	b = be.AppendUint32(b, anyGroup)
	b = append(b, make([]byte, 4+8+8)...)
	return append(b, emptyMatch[:]...)
}

const (
	monitorAdd     = 1 << 1
	monitorRemoved = 1 << 2
	monitorModify  = 1 << 3
)

// monitorRequest asks to be told of every change that others make. Changes of
// our own come as an abbreviation.
func monitorRequest() []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 1)
	b = be.AppendUint32(b, portAny)
	b = be.AppendUint32(b, anyGroup)
	b = be.AppendUint16(b, monitorAdd|monitorRemoved|monitorModify)
	b = append(b, anyTable, 0)
	return append(b, emptyMatch[:]...)
}

func bundleControl(xid, bundle uint32, kind uint16) []byte {
	b := begin(nil, typeBundle, xid)
	b = binary.BigEndian.AppendUint32(b, bundle)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, bundleFlags)
	return finish(b, 0)
}

// flowMod is an add or a strict delete.
type flowMod struct {
	command            uint8
	table              uint8
	priority           uint16
	cookie, cookieMask uint64
	match              []byte // OXM fields
	instructions       []byte
}

// appendBundled writes the flow-mod inside a bundle's add message. The inner
// and the outer message have one xid, by which errors find the flow.
func (m *flowMod) appendBundled(dst []byte, bundle, xid uint32) []byte {
	be := binary.BigEndian
	at := len(dst)
	dst = begin(dst, typeBundleAdd, xid)
	dst = be.AppendUint32(dst, bundle)
	dst = append(dst, 0, 0, 0, bundleFlags)
	inner := len(dst)
	dst = begin(dst, typeFlowMod, xid)
	dst = be.AppendUint64(dst, m.cookie)
	dst = be.AppendUint64(dst, m.cookieMask)
	dst = append(dst, m.table, m.command, 0, 0, 0, 0)
	dst = be.AppendUint16(dst, m.priority)
	dst = be.AppendUint32(dst, noBuffer)
	dst = be.AppendUint32(dst, portAny)
	dst = be.AppendUint32(dst, anyGroup)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, 0, 1)
	dst = be.AppendUint16(dst, uint16(4+len(m.match)))
	dst = append(dst, m.match...)
	for (len(dst)-inner)%8 != 0 {
		dst = append(dst, 0)
	}
	dst = append(dst, m.instructions...)
	return finish(finish(dst, inner), at)
}

// port is one port of a PORT_DESC reply or a port status.
type port struct {
	number uint32
	name   string
}

// decodePorts reads a list of ofp_port.
func decodePorts(b []byte) ([]port, error) {
	var ports []port
	for len(b) > 0 {
		if len(b) < 40 {
			return nil, errShort
		}
		size := int(binary.BigEndian.Uint16(b[4:]))
		if size < 40 || size > len(b) {
			return nil, errShort
		}
		name := b[16:32]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		ports = append(ports, port{number: binary.BigEndian.Uint32(b), name: string(name)})
		b = b[size:]
	}
	return ports, nil
}

// rawFlow is one entry of a flow dump or of a flow monitor's report.
type rawFlow struct {
	table        uint8
	priority     uint16
	idle, hard   uint16
	cookie       uint64
	match        []byte // OXM fields
	instructions []byte
}

const flowStatsLen = 48

// nextFlow takes the first entry off a flow dump.
func nextFlow(b []byte) (f rawFlow, rest []byte, err error) {
	be := binary.BigEndian
	if len(b) < flowStatsLen {
		return f, nil, errShort
	}
	size := int(be.Uint16(b))
	if size < flowStatsLen+8 || size > len(b) {
		return f, nil, errShort
	}
	f.table, f.priority = b[2], be.Uint16(b[12:])
	f.idle, f.hard = be.Uint16(b[14:]), be.Uint16(b[16:])
	f.cookie = be.Uint64(b[24:])
	f.match, f.instructions, err = splitMatch(b[flowStatsLen:size])
	return f, b[size:], err
}

// splitMatch takes an ofp_match off its front: the OXM fields and what follows.
func splitMatch(b []byte) (fields, rest []byte, err error) {
	if len(b) < 8 {
		return nil, nil, errShort
	}
	kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	padded := (size + 7) &^ 7
	if kind != 1 || size < 4 || padded > len(b) {
		return nil, nil, errors.New("bad match in message")
	}
	return b[4:size], b[padded:], nil
}

// Events of a flow monitor.
const (
	eventAbbreviated = 4
	eventPaused      = 5
	eventResumed     = 6
)

// foreignUpdate reports whether a flow monitor's report tells of a change that
// somebody else made, and calls each for every flow of it. lost is whether
// changes may have gone untold.
func foreignUpdate(b []byte, each func(rawFlow)) (lost bool, err error) {
	be := binary.BigEndian
	for len(b) > 0 {
		if len(b) < 8 {
			return lost, errShort
		}
		size, event := int(be.Uint16(b)), be.Uint16(b[2:])
		if size < 8 || size > len(b) {
			return lost, errShort
		}
		switch event {
		case eventAbbreviated:
		case eventPaused, eventResumed:
			lost = true
		default:
			if size < 32 {
				return lost, errShort
			}
			f := rawFlow{table: b[4], priority: be.Uint16(b[10:]), cookie: be.Uint64(b[16:])}
			if f.match, f.instructions, err = splitMatch(b[24:size]); err != nil {
				return lost, err
			}
			each(f)
		}
		b = b[size:]
	}
	return lost, nil
}

// wrongReply is the error for a reply of an unexpected kind.
func wrongReply(m message) error {
	if m.kind == typeError {
		return decodeError(m.body)
	}
	return fmt.Errorf("unexpected reply of type %d", m.kind)
}
