package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"neutrino/host"
	"neutrino/host/inside"
)

// An address is announced a few times, as a single packet gets lost easily and
// a neighbour that misses it goes on to send to where the address was.
const (
	rounds  = 3
	between = 2 * time.Second
)

// announcer tells neighbours which MAC an added address has: gratuitous ARP
// (RFC 5227, 3; RFC 5944, 4.6) and unsolicited neighbour advertisements (RFC
// 4861, 7.2.6). One goroutine sends for all addresses, and lives while there is
// something to send.
type announcer struct {
	path   func(namespace string) string
	logger *slog.Logger

	mu     sync.Mutex
	queue  map[host.AddressKey]announcement
	wake   chan struct{}
	cancel context.CancelFunc // nil while nothing is sent
	done   chan struct{}
}

type announcement struct {
	left int
	due  time.Time
}

func newAnnouncer(path func(string) string, logger *slog.Logger) *announcer {
	return &announcer{path: path, logger: logger, queue: map[host.AddressKey]announcement{}, wake: make(chan struct{}, 1)}
}

// add queues addresses; the first round is sent at once.
func (a *announcer) add(keys []host.AddressKey) {
	if len(keys) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for _, k := range keys {
		a.queue[k] = announcement{rounds, now}
	}
	if a.cancel == nil {
		ctx, cancel := context.WithCancel(context.Background())
		a.cancel, a.done = cancel, make(chan struct{})
		go a.run(ctx, a.done)
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// remove forgets an address that goes.
func (a *announcer) remove(k host.AddressKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.queue, k)
}

// close forgets all and waits for the sender to end.
func (a *announcer) close() {
	a.mu.Lock()
	clear(a.queue)
	cancel, done := a.cancel, a.done
	a.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (a *announcer) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	for {
		byPlace, next, idle := a.take()
		for namespace, keys := range byPlace {
			gone, err := a.send(namespace, keys)
			if err != nil {
				a.logger.Warn("link: announce addresses", "namespace", namespace, "error", err)
			}
			for _, k := range gone {
				a.remove(k)
			}
		}
		if idle {
			return
		}
		if len(byPlace) > 0 {
			continue
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			a.stop()
			return
		case <-a.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stop forgets all, also what was added while the sender was told to end.
func (a *announcer) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.queue)
	a.cancel = nil
}

// take is what is due, by namespace, and when the next is. With an empty queue
// the sender is to end.
func (a *announcer) take() (due map[string][]host.AddressKey, next time.Time, idle bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	due = map[string][]host.AddressKey{}
	now := time.Now()
	for k, e := range a.queue {
		if e.due.After(now) {
			if next.IsZero() || e.due.Before(next) {
				next = e.due
			}
			continue
		}
		due[k.NetNS] = append(due[k.NetNS], k)
		if e.left--; e.left == 0 {
			delete(a.queue, k)
		} else {
			a.queue[k] = announcement{e.left, now.Add(between)}
		}
	}
	idle = len(due) == 0 && len(a.queue) == 0
	if idle {
		a.cancel()
		a.cancel = nil
	}
	return due, next, idle
}

// send sends one round for addresses of one namespace, and returns those that
// are no longer there.
func (a *announcer) send(namespace string, keys []host.AddressKey) (gone []host.AddressKey, err error) {
	path := ""
	if namespace != "" {
		path = a.path(namespace)
	}
	err = inside.Namespace(path, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		defer func() { _ = unix.Close(fd) }()
		forwards, _ := ReadSysctl("net.ipv6.conf.all.forwarding") // without IPv6 there is nothing to say of it
		devices := map[string]*device{}
		var errs []error
		for _, k := range keys {
			d := devices[k.Device]
			if d == nil {
				d = look(k.Device)
				devices[k.Device] = d
			}
			if !d.has[k.Prefix] {
				gone = append(gone, k)
				continue
			}
			prefix, err := netip.ParsePrefix(k.Prefix)
			if err != nil {
				continue
			}
			for _, frame := range d.frames(prefix.Addr(), forwards == "1") {
				if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: d.index}); err != nil {
					errs = append(errs, fmt.Errorf("%s on %s: %w", k.Prefix, k.Device, err))
				}
			}
		}
		return errors.Join(errs...)
	})
	if errors.Is(err, os.ErrNotExist) {
		return keys, nil
	}
	return gone, err
}

// device is what a frame must know of its device.
type device struct {
	index int
	mac   net.HardwareAddr
	has   map[string]bool // by prefix
}

// look finds a device of the calling thread's namespace; one that is gone has
// no address.
func look(name string) *device {
	d := &device{has: map[string]bool{}}
	i, err := net.InterfaceByName(name)
	if err != nil || len(i.HardwareAddr) != 6 {
		return d
	}
	d.index, d.mac = i.Index, i.HardwareAddr
	list, err := i.Addrs()
	if err != nil {
		return d
	}
	for _, a := range list {
		d.has[a.String()] = true
	}
	return d
}
