package openflow

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Reserved port numbers of OpenFlow 1.1 and later.
const (
	portFirstReserved = 0xffffff00
	portInPort        = 0xfffffff8
	portTable         = 0xfffffff9
	portNormal        = 0xfffffffa
	portFlood         = 0xfffffffb
	portAll           = 0xfffffffc
	portController    = 0xfffffffd
	portLocal         = 0xfffffffe
	portAny           = 0xffffffff
)

// maxPortName is what the name field of OpenFlow holds.
const maxPortName = 15

// portRef is a port by name, or by number where name is empty.
type portRef struct {
	name   string
	number uint32
}

func (p portRef) reserved() bool { return p.name == "" && p.number >= portFirstReserved }

// parsePort reads a port: a reserved name in any case, "#7" for a number, or
// the name of an interface.
func parsePort(text, bridge string) (portRef, error) {
	if text == "" {
		return portRef{}, fmt.Errorf("no port name")
	}
	switch {
	case strings.EqualFold(text, "in_port"):
		return portRef{number: portInPort}, nil
	case strings.EqualFold(text, "normal"):
		return portRef{number: portNormal}, nil
	case strings.EqualFold(text, "flood"):
		return portRef{number: portFlood}, nil
	case strings.EqualFold(text, "all"):
		return portRef{number: portAll}, nil
	case strings.EqualFold(text, "local"), text == bridge:
		return portRef{number: portLocal}, nil
	}
	if text[0] == '#' {
		n, err := strconv.ParseUint(text[1:], 10, 32)
		if err != nil || n == 0 || n >= portFirstReserved || strconv.FormatUint(n, 10) != text[1:] {
			return portRef{}, fmt.Errorf("bad port number %q", text)
		}
		return portRef{number: uint32(n)}, nil
	}
	if len(text) > maxPortName {
		return portRef{}, fmt.Errorf("port name %q is longer than OpenFlow's %d bytes", text, maxPortName)
	}
	if !plainName(text) {
		return portRef{}, fmt.Errorf("bad port name %q", text)
	}
	return portRef{name: text}, nil
}

// plainName reports whether a name can stand in a flow's text.
func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '@', c == '+':
		default:
			return false
		}
	}
	return name != ""
}

func appendPort(dst []byte, p portRef) []byte {
	if p.name != "" {
		return append(dst, p.name...)
	}
	switch p.number {
	case portInPort:
		return append(dst, "IN_PORT"...)
	case portNormal:
		return append(dst, "NORMAL"...)
	case portFlood:
		return append(dst, "FLOOD"...)
	case portAll:
		return append(dst, "ALL"...)
	case portLocal:
		return append(dst, "LOCAL"...)
	case portController:
		return append(dst, "CONTROLLER"...)
	case portTable:
		return append(dst, "TABLE"...)
	}
	return strconv.AppendUint(append(dst, '#'), uint64(p.number), 10)
}

// narrow is a port number in the 16 bits of the Nicira actions.
func narrow(n uint32) uint16 { return uint16(n) }

// widen is the reverse of narrow.
func widen(n uint16) uint32 {
	if n >= portFirstReserved&0xffff {
		return 0xffff0000 | uint32(n)
	}
	return uint32(n)
}

// hole is a place in an encoded flow where the number of a port belongs.
type hole struct {
	port  portRef
	at    int
	width int // 2 or 4 bytes
}

func (h hole) fill(wire []byte, n uint32) {
	if h.width == 2 {
		binary.BigEndian.PutUint16(wire[h.at:], narrow(n))
		return
	}
	binary.BigEndian.PutUint32(wire[h.at:], n)
}
