package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"neutrino/lab"
)

const (
	ruleRounds    = 120
	probeInterval = 2 * time.Millisecond // the resolution of the figure
	quiet         = 30 * time.Millisecond
	firstPort     = 20000
)

// rule measures from the answer to a rule's creation to the first datagram of
// a stream that the rule lets through, at an instance on each of three hosts.
func (b *bench) rule(ctx context.Context) ([]figure, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	group, err := c.lab.DefaultGroup(ctx)
	if err != nil {
		return nil, err
	}
	guests, err := c.guests(ctx)
	if err != nil {
		return nil, err
	}
	server, err := c.dhcp(ctx)
	if err != nil {
		return nil, err
	}
	var sender *net.UDPConn
	err = within(server.namespace, func() (err error) { sender, err = net.ListenUDP("udp4", nil); return err })
	if err != nil {
		return nil, inPlace("sender", err)
	}
	defer sender.Close()
	var took, revoked []time.Duration
	for i := range ruleRounds {
		opened, closed, err := c.ruleRound(ctx, group.ID(), &stream{sender: sender, port: firstPort + i}, guests)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", i+1, err)
		}
		took, revoked = append(took, opened), append(revoked, closed)
	}
	f := figure{name: "security group rule created → in force on 3 hosts", target: "p99 ≤ 50 ms"}.take(took)
	f.also = fmt.Sprintf("deleted → stopped on all: p50 %s, p99 %s", millis(quantile(revoked, 0.5)), millis(quantile(revoked, 0.99)))
	f.atMost("p99", f.p99, 50*time.Millisecond)
	return []figure{f}, nil
}

// ruleRound opens and closes one UDP port of the group under a stream of
// datagrams to it. A stream that passes without the rule, or never with it, is
// an error: then nothing was measured.
func (c *cloud) ruleRound(ctx context.Context, group string, s *stream, guests []place) (opened, closed time.Duration, err error) {
	if err := s.start(guests); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	time.Sleep(quiet)
	for _, e := range s.ends {
		if e.first.Load() != 0 {
			return 0, 0, fmt.Errorf("%s: UDP port %d is open before its rule", e.name, s.port)
		}
	}
	rule, err := c.client.Create(ctx, "security-group-rules", lab.Object{
		"security_group_id": group, "direction": "ingress", "protocol": "udp", "port_range_min": s.port, "port_range_max": s.port,
	})
	answered := time.Now()
	if err != nil {
		return 0, 0, err
	}
	if opened, err = s.awaitFirst(ctx, answered); err != nil {
		return 0, 0, err
	}
	if err = c.client.Delete(ctx, "security-group-rules", rule.ID()); err != nil {
		return 0, 0, err
	}
	closed, err = s.awaitLast(ctx, time.Now())
	return opened, closed, err
}

// stream sends datagrams to one UDP port of each instance.
type stream struct {
	sender *net.UDPConn
	port   int
	ends   []*end
	halt   chan struct{}
	sent   chan error
}

// end is an instance that the stream goes to.
type end struct {
	name        string
	to          netip.AddrPort
	conn        *net.UDPConn
	first, last atomic.Int64 // when datagrams arrived, in ns since 1970; 0 for never
}

func (s *stream) start(guests []place) error {
	s.halt, s.sent = make(chan struct{}), make(chan error, 1)
	for _, g := range guests {
		e, err := newEnd(g, s.port)
		if err != nil {
			for _, e := range s.ends {
				e.conn.Close()
			}
			return fmt.Errorf("listen in %s: %w", g.name, err)
		}
		s.ends = append(s.ends, e)
		go e.receive()
	}
	go func() { s.sent <- s.send() }()
	return nil
}

func newEnd(g place, port int) (*end, error) {
	e := &end{name: g.name, to: netip.AddrPortFrom(g.address, uint16(port))}
	return e, within(g.namespace, func() (err error) {
		e.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(e.to))
		return err
	})
}

// receive notes arrivals until the socket is closed.
func (e *end) receive() {
	var b [16]byte
	for {
		if _, _, err := e.conn.ReadFromUDPAddrPort(b[:]); err != nil {
			return
		}
		now := time.Now().UnixNano()
		e.first.CompareAndSwap(0, now)
		e.last.Store(now)
	}
}

func (s *stream) send() error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		for _, e := range s.ends {
			if _, err := s.sender.WriteToUDPAddrPort([]byte("probe"), e.to); err != nil {
				return fmt.Errorf("send to %s: %w", e.to, err)
			}
		}
		select {
		case <-s.halt:
			return nil
		case <-tick.C:
		}
	}
}

func (s *stream) stop() error {
	close(s.halt)
	err := <-s.sent
	for _, e := range s.ends {
		err = errors.Join(err, e.conn.Close())
	}
	return err
}

// awaitFirst is how long after a moment a datagram has arrived everywhere.
func (s *stream) awaitFirst(ctx context.Context, since time.Time) (took time.Duration, err error) {
	err = until(ctx, patience, time.Millisecond, func() error {
		for _, e := range s.ends {
			at := e.first.Load()
			if at == 0 {
				return fmt.Errorf("%s: no datagram to UDP port %d arrives under its rule", e.name, s.port)
			}
			took = max(took, time.Unix(0, at).Sub(since))
		}
		return nil
	})
	return took, err
}

// awaitLast is how long after a moment the last datagram arrived anywhere.
func (s *stream) awaitLast(ctx context.Context, since time.Time) (took time.Duration, err error) {
	err = until(ctx, patience, time.Millisecond, func() error {
		for _, e := range s.ends {
			last := time.Unix(0, e.last.Load())
			if time.Since(last) < quiet {
				return fmt.Errorf("%s: datagrams to UDP port %d still arrive without a rule", e.name, s.port)
			}
			took = max(took, last.Sub(since))
		}
		return nil
	})
	return took, err
}
