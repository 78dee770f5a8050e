package metadata

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

// probePace is how often the service asks itself.
type probePace struct {
	every   time.Duration // each socket
	wait    time.Duration // for an answer
	tries   int           // before a socket counts as silent
	restart time.Duration // between two new sockets for a silent one, at least: each ends connections
}

func usualPace() probePace {
	return probePace{every: 10 * time.Second, wait: 3 * time.Second, tries: 2, restart: time.Minute}
}

// silence is a socket that does not answer.
type silence struct {
	object    string
	reason    string
	restarted time.Time
}

// probesAtOnce is how many sockets are asked at the same time.
const probesAtOnce = 8

// Run asks each socket again and again, as an instance does, until the context
// ends. One that does not answer is a finding and is opened anew.
func (h *Hand) Run(ctx context.Context) error {
	ticker := time.NewTicker(h.pace.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			h.round(ctx)
		}
	}
}

// Findings are the sockets that do not answer, and the ports in whose name
// somebody else has asked.
func (h *Hand) Findings() []host.Finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []host.Finding
	for _, s := range h.silent {
		out = append(out, host.Finding{Object: s.object, Reason: s.reason})
	}
	slices.SortFunc(out, func(a, b host.Finding) int { return strings.Compare(a.Object+a.Reason, b.Object+b.Reason) })
	return append(out, h.handler.refusals.findings(time.Now())...)
}

func (h *Hand) round(ctx context.Context) {
	h.mu.Lock()
	all := make(map[host.ListenerKey]*listener, len(h.open))
	for k, l := range h.open {
		all[k] = l
	}
	h.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for k, l := range all {
		group.Go(func() error {
			h.judge(k, l, h.answers(ctx, k, l))
			return nil
		})
	}
	_ = group.Wait() // none returns an error
}

// answers asks a socket, and once more when it does not answer.
func (h *Hand) answers(ctx context.Context, k host.ListenerKey, l *listener) error {
	var err error
	for range h.pace.tries {
		if ctx.Err() != nil {
			return nil // we stop; nobody wants to know
		}
		if err = h.probe(ctx, k, l); err == nil {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// judge takes in how a socket answered.
func (h *Hand) judge(k host.ListenerKey, l *listener, failure error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, was := h.silent[k]
	switch {
	case h.open[k] != l || h.closed:
		return // it is another one meanwhile
	case failure == nil:
		if was {
			delete(h.silent, k)
			h.signal()
		}
		return
	}
	s := silence{object: l.wanted.Scope, restarted: before.restarted, reason: fmt.Sprintf(
		"the metadata service does not answer on %s in namespace %q: %v; its socket is opened anew each %v until it answers",
		k.Address, k.NetNS, failure, h.pace.restart)}
	if now := time.Now(); now.Sub(s.restarted) >= h.pace.restart {
		s.restarted = now
		h.drop(k)
		if err := h.put(k, l.wanted); err != nil {
			h.options.Logger.Warn("metadata: open a silent socket anew", "namespace", k.NetNS, "address", k.Address, "error", err)
		}
	}
	h.silent[k] = s
	if s.reason != before.reason {
		h.signal()
	}
}

// probe asks a socket from inside its namespace. Whatever is limited for
// instances is not for this question.
func (h *Hand) probe(ctx context.Context, k host.ListenerKey, l *listener) error {
	ctx, cancel := context.WithTimeout(ctx, h.pace.wait)
	defer cancel()
	path := ""
	if k.NetNS != "" {
		path = filepath.Join(h.options.NetNSDir, k.NetNS)
	}
	var c net.Conn
	err := inside.Namespace(path, func() (err error) {
		c, err = l.dial(ctx, k.Address)
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends what waits below
	defer stop()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+k.Address+"\r\nConnection: close\r\n\r\n")
	if err == nil {
		err = answered(c)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("no answer within %v", h.pace.wait)
	}
	return err
}

func answered(c net.Conn) error {
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_ = r.Body.Close() // it has none
	if r.StatusCode != http.StatusNoContent {
		return fmt.Errorf("answered %s", r.Status)
	}
	return nil
}

// metadataMark is the mark by which a router's rules let requests to the
// service in (dataplane.md section 5.2).
const metadataMark = 1

// dial connects to a socket from its own address, in the namespace of the
// calling thread, so that no rule for instances and no route has a say. The
// listener knows the connection before it comes.
func (l *listener) dial(ctx context.Context, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	at := to.Addr()
	if at.IsUnspecified() {
		at = netip.MustParseAddr("127.0.0.1")
		if to.Addr().Is6() {
			at = netip.IPv6Loopback()
		}
	}
	var zone uint32
	if at.Is6() {
		if zone, err = zoneOf(at); err != nil {
			return nil, err
		}
	}
	target := net.TCPAddr{IP: at.AsSlice(), Port: int(to.Port())}
	if zone != 0 {
		target.Zone = strconv.Itoa(int(zone))
	}
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = l.expect(int(fd), at.WithZone(""), zone) })
		return errors.Join(err, failed)
	}}
	return d.DialContext(ctx, "tcp", target.String())
}

// expect binds a socket that is about to connect, and notes from where.
func (l *listener) expect(fd int, at netip.Addr, zone uint32) error {
	// Without the right to set marks it may still be let in.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, metadataMark)
	var from unix.Sockaddr = &unix.SockaddrInet6{Addr: at.As16(), ZoneId: zone}
	if at.Is4() {
		from = &unix.SockaddrInet4{Addr: at.As4()}
	}
	if err := unix.Bind(fd, from); err != nil {
		return err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	port := 0
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		port = a.Port
	case *unix.SockaddrInet6:
		port = a.Port
	}
	l.mu.Lock()
	l.own = netip.AddrPortFrom(at, uint16(port))
	l.mu.Unlock()
	return nil
}
