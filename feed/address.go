// Package feed is the station that carries each host its view: ordered deltas
// over one stream, resumed by revision and digest, with reports coming back.
package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Exposure says where the feed may be offered and looked for while it has
// neither encryption nor proof of identity.
type Exposure int

// The exposures. Anywhere has to be asked for in so many words.
const (
	Local    Exposure = iota // unix sockets and loopback addresses only
	Anywhere                 // any address
)

// ErrExposed is the refusal of an address that is not [Local].
var ErrExposed = errors.New("it is not on this machine, and the feed has neither encryption nor authentication")

const unixScheme = "unix:"

// Listen opens the feed's address: "unix:/path" or "address:port". A unix
// socket is open to its owner only; one that a dead server left is replaced.
func Listen(ctx context.Context, address string, e Exposure) (net.Listener, error) {
	if err := check(address, e); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	path, isUnix := strings.CutPrefix(address, unixScheme)
	if !isUnix {
		ln, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("feed: %w", err)
		}
		return ln, nil
	}
	if err := clearSocket(ctx, path, time.Now().Add(leaveTime)); err != nil {
		return nil, err
	}
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("feed: %w", err), ln.Close())
	}
	return ln, nil
}

// leaveTime is how long the one before us may take to leave its socket: the
// kernel closes the files of a killed process a moment after its death shows.
const leaveTime = time.Second

// clearSocket removes a socket that nobody listens on, or stops listening on
// before the deadline.
func clearSocket(ctx context.Context, path string, deadline time.Time) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("feed: %w", err)
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("feed: listen on %s: it is there and no socket", path)
	}
	d := net.Dialer{Timeout: time.Second}
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		c.Close()
		if time.Now().After(deadline) {
			return fmt.Errorf("feed: listen on %s: another server does", path)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaveTime / 50):
			return clearSocket(ctx, path, deadline)
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("feed: replace stale socket: %w", err)
	}
	return nil
}

func check(address string, e Exposure) error {
	if path, ok := strings.CutPrefix(address, unixScheme); ok {
		if path == "" {
			return fmt.Errorf("feed: address %q names no socket", address)
		}
		return nil
	}
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("feed: address %q is neither unix:/path nor address:port: %w", address, err)
	}
	if e == Anywhere || name == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(name)
	if err != nil || !ip.Unmap().IsLoopback() {
		return fmt.Errorf("feed: address %q: %w", address, ErrExposed)
	}
	return nil
}

// target is the address as grpc names it.
func target(address string) string {
	if strings.HasPrefix(address, unixScheme) {
		return address
	}
	return "passthrough:///" + address
}
