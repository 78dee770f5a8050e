package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// packet is one of a subunit stream, version 2 (the protocol is described in
// the README of python-subunit): an event of a test, or a piece of a file that
// belongs to it.
type packet struct {
	test    string
	status  testStatus
	at      time.Time // zero when the packet has none
	file    string
	content []byte
}

// testStatus is the low three bits of a packet's flags.
type testStatus uint16

const (
	testNone              testStatus = 0
	testInProgress        testStatus = 2
	testSuccess           testStatus = 3
	testUnexpectedSuccess testStatus = 4
	testSkipped           testStatus = 5
	testFailed            testStatus = 6
	testExpectedFailure   testStatus = 7
)

// The flags of a packet.
const (
	subunitSignature = 0xb3
	flagContent      = 0x0040
	flagMIME         = 0x0020
	flagTags         = 0x0080
	flagTimestamp    = 0x0200
	flagRoute        = 0x0400
	flagTest         = 0x0800
)

var errSubunit = errors.New("malformed subunit packet")

// readPackets hands each packet of a stream to a function. What lies between
// packets is the output of something else and is passed over.
func readPackets(r *bufio.Reader, take func(packet)) error {
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if b != subunitSignature {
			continue
		}
		whole, err := readPacket(r)
		if err != nil {
			return err
		}
		p, err := parsePacket(whole)
		if err != nil {
			return err
		}
		take(p)
	}
}

// readPacket reads the rest of a packet behind its signature.
func readPacket(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(3)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSubunit, err)
	}
	size := 3 + int(head[2]>>6) // flags, and the length's own bytes
	if head, err = r.Peek(size); err != nil {
		return nil, fmt.Errorf("%w: %w", errSubunit, err)
	}
	length, _, err := number(head[2:])
	if err != nil || length < size+1+4 {
		return nil, fmt.Errorf("%w: length %d", errSubunit, length)
	}
	whole := make([]byte, length)
	whole[0] = subunitSignature
	if _, err := io.ReadFull(r, whole[1:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errSubunit, err)
	}
	body, sum := whole[:length-4], binary.BigEndian.Uint32(whole[length-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return nil, fmt.Errorf("%w: checksum", errSubunit)
	}
	return body, nil
}

// parsePacket reads what a packet without its checksum says.
func parsePacket(b []byte) (p packet, err error) {
	flags := binary.BigEndian.Uint16(b[1:])
	p.status = testStatus(flags & 7)
	f := &fields{rest: b[3:]}
	f.number() // the length
	if flags&flagTimestamp != 0 {
		seconds := f.bytes(4)
		nanos := f.number()
		if f.err == nil {
			p.at = time.Unix(int64(binary.BigEndian.Uint32(seconds)), int64(nanos)).UTC()
		}
	}
	if flags&flagTest != 0 {
		p.test = f.text()
	}
	if flags&flagTags != 0 {
		for n := f.number(); n > 0 && f.err == nil; n-- {
			f.text()
		}
	}
	if flags&flagMIME != 0 {
		f.text()
	}
	if flags&flagContent != 0 {
		p.file = f.text()
		p.content = f.bytes(f.number())
	}
	if flags&flagRoute != 0 {
		f.text()
	}
	if f.err == nil && len(f.rest) > 0 {
		f.err = fmt.Errorf("%w: %d bytes too many", errSubunit, len(f.rest))
	}
	return p, f.err
}

// fields reads a packet's fields one after the other; after an error nothing.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) number() int {
	if f.err != nil {
		return 0
	}
	n, size, err := number(f.rest)
	if err != nil {
		f.err = err
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) bytes(n int) []byte {
	if f.err == nil && n > len(f.rest) {
		f.err = fmt.Errorf("%w: a field ends behind the packet", errSubunit)
	}
	if f.err != nil {
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) text() string { return string(f.bytes(f.number())) }

// number reads a number, whose first two bits say how many bytes follow the
// first.
func number(b []byte) (n, size int, err error) {
	if len(b) == 0 || len(b) < 1+int(b[0]>>6) {
		return 0, 0, fmt.Errorf("%w: a number ends behind the packet", errSubunit)
	}
	size = 1 + int(b[0]>>6)
	n = int(b[0] & 0x3f)
	for _, c := range b[1:size] {
		n = n<<8 | int(c)
	}
	return n, size, nil
}
