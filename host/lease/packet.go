package lease

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Numbers of RFC 2131 and RFC 2132.
const (
	bootRequest       = 1
	hardwareEthernet  = 1
	magicCookie       = 0x63825363
	optionMessageType = 53
	optionServer      = 54
	optionClient      = 61
	optionEnd         = 255
	messageRelease    = 7
	// bootpSize is the least that a packet has with its options: some servers
	// and relays drop shorter ones (RFC 1542, 2.1).
	bootpSize = 300
)

// releaseFour is a DHCPRELEASE: from the client, for its address, to the server
// that gave it (RFC 2131, table 5).
func releaseFour(r record, server netip.Addr) []byte {
	b := make([]byte, 236, bootpSize)
	b[0], b[1], b[2] = bootRequest, hardwareEthernet, byte(len(r.hardware))
	binary.BigEndian.PutUint32(b[4:], rand.Uint32())
	ip, at := r.ip.As4(), server.As4()
	copy(b[12:], ip[:])
	copy(b[28:], r.hardware)
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	b = append(b, optionMessageType, 1, messageRelease, optionServer, 4)
	b = append(b, at[:]...)
	if n := len(r.client); n > 0 && n < 256 {
		b = append(append(b, optionClient, byte(n)), r.client...)
	}
	b = append(b, optionEnd)
	for len(b) < bootpSize {
		b = append(b, 0)
	}
	return b
}

// Numbers of RFC 8415.
const (
	messageRelease6  = 8
	optionClient6    = 1
	optionServer6    = 2
	optionIANA       = 3
	optionIAAddress  = 5
	optionElapsed    = 8
	transactionBytes = 3
)

// releaseSix is a Release message (RFC 8415, 18.2.7).
func releaseSix(r record, server []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	b = append([]byte{messageRelease6}, b[:transactionBytes]...)
	b = option6(b, optionClient6, r.client)
	b = option6(b, optionServer6, server)
	b = option6(b, optionElapsed, []byte{0, 0})
	ip := r.ip.As16()
	address := append(ip[:], make([]byte, 8)...) // no lifetimes
	ia := binary.BigEndian.AppendUint32(nil, r.iaid)
	ia = append(ia, make([]byte, 8)...) // no times
	return option6(b, optionIANA, option6(ia, optionIAAddress, address))
}

func option6(b []byte, code uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}
