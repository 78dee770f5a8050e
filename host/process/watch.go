package process

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher waits for the end of processes that are not our children: a pidfd
// becomes readable when its process ends.
type watcher struct {
	ended func()

	mu     sync.Mutex
	epoll  int // -1 when not open
	wake   int
	pids   map[int]int // pid to pidfd
	closed bool
}

func newWatcher(ended func()) *watcher {
	return &watcher{ended: ended, epoll: -1, wake: -1, pids: map[int]int{}}
}

// start opens the poll set. Where that fails nothing is heard, and only the
// audit notices the end of a daemon.
func (w *watcher) start() bool {
	if w.closed {
		return false
	}
	if w.epoll >= 0 {
		return true
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
	}
	if err != nil {
		unix.Close(epoll)
		return false
	}
	w.epoll, w.wake = epoll, wake
	go w.loop(epoll, wake)
	return true
}

// add watches a process.
func (w *watcher) add(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.pids[pid]; known || !w.start() {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		go w.ended() // between being looked at and now
	}
	if err != nil {
		return
	}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		unix.Close(fd)
		return
	}
	w.pids[pid] = fd
}

// remove stops watching a process that we end ourselves.
func (w *watcher) remove(pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fd, ok := w.pids[pid]; ok {
		delete(w.pids, pid)
		unix.Close(fd) // leaves the poll set with its last descriptor
	}
}

// keep watches no others than these.
func (w *watcher) keep(pids map[int]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for pid, fd := range w.pids {
		if !pids[pid] {
			delete(w.pids, pid)
			unix.Close(fd)
		}
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for pid, fd := range w.pids {
		delete(w.pids, pid)
		unix.Close(fd)
	}
	if w.wake >= 0 {
		unix.Write(w.wake, binary.NativeEndian.AppendUint64(nil, 1))
	}
}

// loop reports ends until the watcher is closed.
func (w *watcher) loop(epoll, wake int) {
	events := make([]unix.EpollEvent, 16)
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		over := false
		w.mu.Lock()
		if w.closed {
			unix.Close(epoll)
			unix.Close(wake)
			w.mu.Unlock()
			return
		}
		for _, ev := range events[:n] {
			for pid, fd := range w.pids {
				if int32(fd) == ev.Fd {
					over = true
					delete(w.pids, pid)
					unix.Close(fd)
				}
			}
		}
		w.mu.Unlock()
		if over {
			w.ended()
		}
	}
}
