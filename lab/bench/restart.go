package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"neutrino"
	"neutrino/agent"
	"neutrino/lab"
)

const (
	restartRounds = 10
	wiredPorts    = 100 // on the host, the instance with the traffic among them
	agentProcess  = "neutrino-agent"
	afterwards    = time.Second // how long a restarted agent is watched on
	idlePort      = 7000
)

// restart kills an agent and starts it again, several times, under traffic of
// one of its host's hundred ports.
func (b *bench) restart(ctx context.Context) ([]figure, error) {
	c, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.stage(ctx)
	if err != nil {
		return nil, err
	}
	f := figure{name: fmt.Sprintf("agent killed and restarted, %d ports wired → converged", wiredPorts), target: "≤ 1 s; nothing lost, nothing written"}
	if err := s.watched(ctx, &f); err != nil {
		return nil, inPlace(s.host.Name, err)
	}
	return []figure{f}, nil
}

// stage is a host whose agent is to be killed.
type stage struct {
	cloud *cloud
	host  *lab.Host
	guest place // an instance on the host
	peer  place // what it talks to
}

// stage wires the ports of a host.
func (c *cloud) stage(ctx context.Context) (*stage, error) {
	s := &stage{cloud: c}
	var err error
	if s.host, err = c.lab.Host("compute2"); err != nil {
		return nil, err
	}
	if s.guest, err = c.guest(ctx, 2); err != nil {
		return nil, err
	}
	if s.peer, err = c.dhcp(ctx); err != nil {
		return nil, err
	}
	ports, err := c.ports(ctx, s.host, wiredPorts-1)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, s.host, ports); err != nil {
		return nil, err
	}
	if err := c.plugRows(ctx, s.host, ports); err != nil {
		return nil, err
	}
	return s, c.awaitStatus(ctx, ports, neutrino.PortActive)
}

// watched restarts the agent under traffic and witnesses and fills the figure
// in.
func (s *stage) watched(ctx context.Context, f *figure) (err error) {
	if err := s.settled(ctx); err != nil {
		return err
	}
	w, err := watch(ctx, s.host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	idle, err := openIdle(s.guest, s.peer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, idle.close()) }()
	p, err := startPing(s.guest.namespace, s.peer.address)
	if err != nil {
		return err
	}
	took, own, rerr := s.restarts(ctx)
	sent, lost, longest, perr := p.stop()
	if err := errors.Join(rerr, perr); err != nil {
		return err
	}
	counts, err := w.counts()
	if err != nil {
		return err
	}
	*f = f.take(took)
	f.also = fmt.Sprintf("%d of %d pings lost, longest round trip %s; puts and drops of the agent %d", lost, sent, millis(longest), own)
	f.atMost("the longest", f.longest, time.Second)
	f.none("pings lost", lost)
	f.none("puts and drops of the agent", own)
	for _, surface := range surfaces {
		f.also += fmt.Sprintf(", %s %d", surface, counts[surface])
		f.none(surface+" ("+w.example(surface)+")", counts[surface])
	}
	if err := idle.alive(); err != nil {
		f.missed = append(f.missed, err.Error())
	} else {
		f.also += ", idle TCP session alive"
	}
	return s.everyWitnessSpeaks(ctx, w)
}

// settled waits until the agent has nothing to do and has been still.
func (s *stage) settled(ctx context.Context) error {
	var before agent.Status
	return until(ctx, patience, 300*time.Millisecond, func() error {
		st, err := s.cloud.status(ctx, s.host)
		if err != nil {
			return err
		}
		still := st.AllPuts == before.AllPuts && st.AllDrops == before.AllDrops && st.Revision == before.Revision
		before = st
		if !still || len(st.Pending)+len(st.Errors) > 0 {
			return fmt.Errorf("the agent is not at rest: %d pending, errors %v", len(st.Pending), st.Errors)
		}
		return nil
	})
}

// restarts kills and starts the agent, round after round. It returns how long
// each took from the start to its convergence, and how many items the
// restarted agents wrote.
func (s *stage) restarts(ctx context.Context) (took []time.Duration, written int, err error) {
	for range restartRounds {
		before, err := s.cloud.status(ctx, s.host)
		if err != nil {
			return took, written, err
		}
		if err := s.host.Kill(ctx, agentProcess); err != nil {
			return took, written, err
		}
		began := time.Now()
		if err := s.host.Restart(ctx, agentProcess); err != nil {
			return took, written, err
		}
		if err := s.converged(ctx, before); err != nil {
			return took, written, err
		}
		took = append(took, time.Since(began))
		time.Sleep(afterwards)
		st, err := s.cloud.status(ctx, s.host)
		if err != nil {
			return took, written, err
		}
		written += st.AllPuts + st.AllDrops
	}
	return took, written, nil
}

// converged waits until a new agent has made a pass on the server's view with
// nothing left to do.
func (s *stage) converged(ctx context.Context, before agent.Status) error {
	return until(ctx, patience, 5*time.Millisecond, func() error {
		st, err := s.cloud.status(ctx, s.host)
		switch {
		case err != nil:
			return err
		case st.Passes == 0 || st.Stored || !st.Connected || st.Revision < before.Revision || len(st.Pending)+len(st.Errors) > 0:
			return fmt.Errorf("not converged: %d passes, stored view %t, connected %t, revision %d of %d, %d pending, errors %v",
				st.Passes, st.Stored, st.Connected, st.Revision, before.Revision, len(st.Pending), st.Errors)
		}
		return nil
	})
}

// everyWitnessSpeaks plugs one more port: a witness that hears nothing of it
// would have heard nothing before either.
func (s *stage) everyWitnessSpeaks(ctx context.Context, w *witness) error {
	before, err := w.counts()
	if err != nil {
		return err
	}
	ports, err := s.cloud.ports(ctx, s.host, 1)
	if err != nil {
		return err
	}
	if err := s.cloud.prepare(ctx, s.host, ports); err != nil {
		return err
	}
	if err := s.cloud.plugRows(ctx, s.host, ports); err != nil {
		return err
	}
	return until(ctx, patience, 20*time.Millisecond, func() error {
		now, err := w.counts()
		if err != nil {
			return err
		}
		var deaf []string
		for _, surface := range surfaces {
			if now[surface] == before[surface] {
				deaf = append(deaf, surface)
			}
		}
		if len(deaf) > 0 {
			return fmt.Errorf("a plugged port shows no %s: the zeros before prove nothing", strings.Join(deaf, ", "))
		}
		return nil
	})
}

// idle is a TCP session that an instance opened and that says nothing.
type idle struct{ inside, outside net.Conn }

func openIdle(from, to place) (s *idle, err error) {
	address := netip.AddrPortFrom(to.address, idlePort)
	var ln *net.TCPListener
	err = within(to.namespace, func() (err error) { ln, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address)); return err })
	if err != nil {
		return nil, fmt.Errorf("idle session: %w", err)
	}
	defer ln.Close()
	s = &idle{}
	err = within(from.namespace, func() (err error) {
		// Without keepalives: the session is really idle.
		d := net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}
		s.inside, err = d.Dial("tcp4", address.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("idle session: %w", err)
	}
	if err = ln.SetDeadline(time.Now().Add(5 * time.Second)); err == nil {
		s.outside, err = ln.Accept()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("idle session: %w", err), s.inside.Close())
	}
	return s, nil
}

// alive sends a word each way, from outside first, where a firewall that forgot
// the session would stop it.
func (s *idle) alive() error {
	for _, way := range [][2]net.Conn{{s.outside, s.inside}, {s.inside, s.outside}} {
		const word = "alive?"
		deadline := time.Now().Add(3 * time.Second)
		_, err := io.WriteString(way[0], word)
		got := make([]byte, len(word))
		if err == nil {
			err = way[1].SetReadDeadline(deadline)
		}
		if err == nil {
			_, err = io.ReadFull(way[1], got)
		}
		if err != nil {
			return fmt.Errorf("idle TCP session broken: %w", err)
		}
	}
	return nil
}

func (s *idle) close() error { return errors.Join(s.inside.Close(), s.outside.Close()) }
