package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// burst is how long the watcher lets messages gather before it looks: one
// change is several messages.
const burst = 20 * time.Millisecond

// watcher hears of devices and of names of namespaces that come and go.
type watcher struct {
	hand   *Hand
	names  *os.File // inotify(7)
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// watch begins to watch the names of namespaces.
func watch(h *Hand) (*watcher, error) {
	w := &watcher{hand: h}
	if err := os.MkdirAll(h.o.NetNSDir, 0o755); err != nil {
		return nil, fmt.Errorf("watch namespaces: %w", err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w.names = os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, h.o.NetNSDir, unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		_ = w.names.Close()
		return nil, fmt.Errorf("watch %s: %w", h.o.NetNSDir, err)
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.wg.Go(w.look)
	w.wg.Go(w.hear)
	return w, nil
}

func (w *watcher) stop() {
	w.cancel()
	_ = w.names.Close()
	w.wg.Wait()
}

// look looks again after news, and says so when a device is lost or found.
func (w *watcher) look() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.hand.kick:
		}
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(burst):
		}
		w.hand.mu.Lock()
		changed, err := w.hand.refresh(w.ctx)
		w.hand.mu.Unlock()
		if err != nil && w.ctx.Err() == nil {
			slog.Warn("ra: look after a change", "error", err)
		}
		if changed || err != nil {
			w.hand.signal()
		}
	}
}

// news marks namespaces as to be looked at.
func (w *watcher) news(mark func()) {
	w.hand.mu.Lock()
	mark()
	w.hand.mu.Unlock()
	select {
	case w.hand.kick <- struct{}{}:
	default:
	}
}

// hear waits for names to go.
func (w *watcher) hear() {
	buf := make([]byte, 4096)
	for {
		if n, err := w.names.Read(buf); err != nil || n == 0 {
			if w.ctx.Err() == nil {
				slog.Warn("ra: watch namespaces", "error", err)
			}
			return
		}
		w.news(func() {
			for name, p := range w.hand.places {
				if !p.current(w.hand.path(name)) {
					p.stale = true
				}
			}
		})
	}
}

// follow waits for changes of the devices of a namespace. The lock is held.
func (w *watcher) follow(p *place) {
	w.wg.Go(func() {
		message := make([]byte, 16) // what it says does not matter: all is looked at
		for {
			_, err := p.watch.Read(message)
			closed := false
			w.news(func() { closed, p.stale = p.closed, true })
			switch {
			case closed:
				return
			case err != nil && !errors.Is(err, unix.ENOBUFS): // then some were lost
				slog.Warn("ra: watch devices", "namespace", p.name, "error", err)
				return
			}
		}
	})
}
