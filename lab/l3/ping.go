package l3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"neutrino/host/inside"
	"neutrino/lab"
)

// Ping sends echo requests at a steady pace from a host's own namespace and
// keeps when each was sent and answered.
type Ping struct {
	conn *net.IPConn
	to   *net.IPAddr
	id   uint16
	v6   bool
	halt chan struct{}
	sent chan error

	mu    sync.Mutex
	out   []time.Time // by sequence number
	back  []time.Time // by sequence number, zero without a reply
	twice int         // replies to what was answered already
	first chan struct{}
}

const (
	echoRequest  = 8           // RFC 792
	echoRequest6 = 128         // RFC 4443; the reply is 129
	pingPatience = time.Second // for the last replies
)

// StartPing begins at once. Two pings from one host to one address would hear
// each other's replies, were it not for their ids.
func StartPing(from *lab.Host, to netip.Addr, pace time.Duration) (*Ping, error) {
	p := &Ping{to: &net.IPAddr{IP: to.AsSlice()}, v6: to.Is6(), halt: make(chan struct{}), sent: make(chan error, 1),
		id: uint16(time.Now().UnixNano() >> 10), first: make(chan struct{})}
	network := "ip4:icmp"
	if p.v6 {
		network = "ip6:ipv6-icmp"
	}
	path := filepath.Join("/proc", strconv.Itoa(from.Holder), "ns/net")
	err := inside.Namespace(path, func() (err error) { p.conn, err = net.ListenIP(network, nil); return err })
	if err != nil {
		return nil, fmt.Errorf("ping %s: %w", to, err)
	}
	go p.receive()
	go func() { p.sent <- p.send(pace) }()
	return p, nil
}

// echo is a request with its checksum (RFC 1071), 8 bytes of header and no data.
// The kernel fills in that of ICMPv6 itself (RFC 3542, 3.1).
func (p *Ping) echo(sequence uint16) []byte {
	b := []byte{echoRequest, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], sequence)
	if p.v6 {
		b[0] = echoRequest6
		return b
	}
	sum := uint32(echoRequest)<<8 + uint32(p.id) + uint32(sequence)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

func (p *Ping) send(pace time.Duration) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := range 1 << 16 {
		p.mu.Lock()
		p.out, p.back = append(p.out, time.Now()), append(p.back, time.Time{})
		p.mu.Unlock()
		// A host that cannot be reached now is a request without a reply.
		_, _ = p.conn.WriteToIP(p.echo(uint16(n)), p.to)
		select {
		case <-p.halt:
			return nil
		case <-tick.C:
		}
	}
	return errors.New("ping: no more sequence numbers")
}

func (p *Ping) receive() {
	b, reply := make([]byte, 256), byte(0)
	if p.v6 {
		reply = echoRequest6 + 1
	}
	for {
		n, from, err := p.conn.ReadFromIP(b)
		if err != nil {
			return // closed
		}
		if n < 8 || b[0] != reply || binary.BigEndian.Uint16(b[4:]) != p.id || !from.IP.Equal(p.to.IP) {
			continue
		}
		p.answered(int(binary.BigEndian.Uint16(b[6:])))
	}
}

func (p *Ping) answered(sequence int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case sequence >= len(p.out):
	case !p.back[sequence].IsZero():
		p.twice++
	default:
		p.back[sequence] = time.Now()
		select {
		case <-p.first:
		default:
			close(p.first)
		}
	}
}

// First is closed with the first reply.
func (p *Ping) First() <-chan struct{} { return p.first }

// Since is the time of the first reply to a request that was sent after the
// moment; zero while there is none.
func (p *Ping) Since(moment time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, at := range p.back {
		if p.out[i].After(moment) && !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

// Count is what a ping saw.
type Count struct{ Sent, Lost, Twice int }

func (p *Ping) count() Count {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Count{Sent: len(p.out), Twice: p.twice}
	for _, at := range p.back {
		if at.IsZero() {
			c.Lost++
		}
	}
	return c
}

// Stop ends the pinging, waits a second at most for the last replies, and says
// what was seen.
func (p *Ping) Stop() (Count, error) {
	close(p.halt)
	err := <-p.sent
	for end := time.Now().Add(pingPatience); time.Now().Before(end) && p.count().Lost > 0; {
		time.Sleep(10 * time.Millisecond)
	}
	err = errors.Join(err, p.conn.Close())
	return p.count(), err
}
