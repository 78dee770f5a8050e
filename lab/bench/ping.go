package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ping sends an echo request each 10 ms from a namespace and counts which
// replies are missing.
type ping struct {
	conn *net.IPConn
	to   *net.IPAddr
	halt chan struct{}
	sent chan error

	mu    sync.Mutex
	out   []time.Time     // by sequence number
	round []time.Duration // round trip by sequence number, 0 without a reply
}

const (
	pingInterval = 10 * time.Millisecond
	pingPatience = time.Second // for the last replies
	echoRequest  = 8           // RFC 792
	echoID       = 0x6e75
)

func startPing(namespace string, to netip.Addr) (*ping, error) {
	p := &ping{to: &net.IPAddr{IP: to.AsSlice()}, halt: make(chan struct{}), sent: make(chan error, 1)}
	err := within(namespace, func() (err error) { p.conn, err = net.ListenIP("ip4:icmp", nil); return err })
	if err != nil {
		return nil, fmt.Errorf("ping: %w", err)
	}
	go p.receive()
	go func() { p.sent <- p.send() }()
	return p, nil
}

// echo is a request with its checksum (RFC 1071), 8 bytes of header and no data.
func echo(sequence uint16) []byte {
	b := []byte{echoRequest, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[4:], echoID)
	binary.BigEndian.PutUint16(b[6:], sequence)
	sum := uint32(echoRequest)<<8 + echoID + uint32(sequence)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

func (p *ping) send() error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for n := range 1 << 16 {
		p.mu.Lock()
		p.out, p.round = append(p.out, time.Now()), append(p.round, 0)
		p.mu.Unlock()
		if _, err := p.conn.WriteToIP(echo(uint16(n)), p.to); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		select {
		case <-p.halt:
			return nil
		case <-tick.C:
		}
	}
	return errors.New("ping: no more sequence numbers")
}

func (p *ping) receive() {
	b := make([]byte, 256)
	for {
		n, from, err := p.conn.ReadFromIP(b)
		if err != nil {
			return // closed
		}
		if n < 8 || b[0] != 0 || binary.BigEndian.Uint16(b[4:]) != echoID || !from.IP.Equal(p.to.IP) {
			continue
		}
		sequence := int(binary.BigEndian.Uint16(b[6:]))
		p.mu.Lock()
		if sequence < len(p.out) && p.round[sequence] == 0 {
			p.round[sequence] = time.Since(p.out[sequence])
		}
		p.mu.Unlock()
	}
}

// seen is how many requests have been sent and how many were answered so far.
func (p *ping) seen() (sent, answered int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.round {
		if r > 0 {
			answered++
		}
	}
	return len(p.round), answered
}

// stop ends the pinging, waits for the last replies and returns how many
// requests got none, and the longest round trip.
func (p *ping) stop() (sent, lost int, longest time.Duration, err error) {
	close(p.halt)
	err = <-p.sent
	for deadline := time.Now().Add(pingPatience); time.Now().Before(deadline); time.Sleep(pingInterval) {
		if sent, answered := p.seen(); sent == answered {
			break
		}
	}
	sent, answered := p.seen()
	err = errors.Join(err, p.conn.Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.round {
		longest = max(longest, r)
	}
	return sent, sent - answered, longest, err
}
