package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// burst is how long the watcher lets messages gather before it reads again:
// one change of ip(8) is several messages.
const burst = 20 * time.Millisecond

// watcher hears what changes: one netlink socket for each namespace, and the
// directory of their names.
type watcher struct {
	hands *Hands
	wg    sync.WaitGroup
}

// Run watches the kernel until the context ends. Meanwhile Read answers from
// what was read last, unless something changed.
func (h *Hands) Run(ctx context.Context) error {
	w := &watcher{hands: h}
	if err := os.MkdirAll(h.options.RunDir, 0o755); err != nil {
		return fmt.Errorf("link: watch: %w", err)
	}
	dir, err := w.directory()
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.watching != nil {
		h.mu.Unlock()
		_ = dir.Close()
		return errors.New("link: Run runs already")
	}
	for name, p := range h.places { // opened without a watcher
		p.close()
		delete(h.places, name)
	}
	h.watching = w
	h.stale()
	err = h.refresh(ctx)
	h.mu.Unlock()
	if err == nil {
		h.signal()
		err = w.loop(ctx)
	}
	h.mu.Lock()
	h.watching = nil
	h.mu.Unlock()
	_ = dir.Close()
	h.Close()
	w.wg.Wait()
	return err
}

// loop reads again after news, and says so when something is different.
func (w *watcher) loop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.hands.kick:
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(burst):
		}
		changed, err := w.hands.reread(ctx)
		if err != nil && ctx.Err() == nil {
			w.hands.options.Logger.Warn("link: read after a change", "error", err)
		}
		if changed || err != nil {
			w.hands.signal()
		}
	}
}

// reread compares what was known with what is there now. An Apply that is
// under way ends first and leaves what it wrote as known.
func (h *Hands) reread(ctx context.Context) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.known()
	err := h.refresh(ctx)
	return !reflect.DeepEqual(before, h.known()), err
}

// known is all that was last read, with the identity of each namespace.
func (h *Hands) known() map[string]any {
	out := map[string]any{}
	for name, p := range h.places {
		out[name] = struct {
			ino   uint64
			facts facts
		}{p.ino, p.facts}
	}
	for name := range h.hollow {
		out[name] = errNoNamespace
	}
	return out
}

func (h *Hands) signal() {
	select {
	case h.events <- struct{}{}:
	default:
	}
}

// news marks a namespace, or the list of them, as changed.
func (h *Hands) news(mark func()) {
	h.mu.Lock()
	mark()
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

// follow subscribes to what happens in a namespace. The lock is held.
func (w *watcher) follow(p *place) error {
	groups := []uint{unix.RTNLGRP_LINK}
	if p.name != "" {
		groups = append(groups, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	}
	socket, err := nl.SubscribeAt(p.fd, netns.None(), unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("link: watch namespace %q: %w", p.name, err)
	}
	p.watch = socket
	w.wg.Go(func() { w.hear(p, socket) })
	return nil
}

func (w *watcher) hear(p *place, socket *nl.NetlinkSocket) {
	for {
		messages, _, err := socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // some were lost: read all
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			w.deaf(p, err)
			return
		}
		relevant := err != nil || p.name != ""
		for i := 0; i < len(messages) && !relevant; i++ {
			header := unix.NlMsghdr(messages[i].Header)
			l, err := netlink.LinkDeserialize(&header, messages[i].Data)
			if err != nil {
				continue
			}
			_, ours := parseMark(w.hands.options.AliasPrefix, l.Attrs().Alias)
			relevant = ours || isTemporary(l) || w.hands.holds(p, l.Attrs().Index)
		}
		if relevant {
			w.hands.news(func() { p.fresh = false })
		}
	}
}

// deaf is the end of a subscription. Unless we ended it, the namespace is
// opened again.
func (w *watcher) deaf(p *place, err error) {
	w.hands.mu.Lock()
	closed := p.closed
	w.hands.mu.Unlock()
	if closed {
		return
	}
	w.hands.options.Logger.Warn("link: watch", "namespace", p.name, "error", err)
	w.hands.news(func() {
		if w.hands.places[p.name] == p {
			p.close()
			delete(w.hands.places, p.name)
		}
		w.hands.listed = false
	})
}

// holds reports whether a device of that index was ours when last read: it may
// have lost its alias.
func (h *Hands) holds(p *place, index int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range p.facts.links {
		if l.index == index {
			return true
		}
	}
	return false
}

// directory watches names of namespaces come and go.
func (w *watcher) directory() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("link: inotify: %w", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	dir := w.hands.options.RunDir
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("link: watch %s: %w", dir, err)
	}
	w.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			if err != nil || n == 0 {
				if !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
					w.hands.options.Logger.Warn("link: watch", "directory", dir, "error", err)
				}
				return
			}
			w.hands.news(func() { w.hands.listed = false })
		}
	})
	return f, nil
}
