package iptables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nf_tables over netlink, from linux/netfilter/nf_tables.h and nfnetlink.h.
const (
	subsysTables   = 10
	msgNewGen      = 15
	msgGetGen      = 16
	groupTables    = 7
	attrGeneration = 1
)

// watcher hears of every nf_tables transaction in some namespaces and tells
// those of others from ours by their generation number: the kernel counts
// transactions, and we ask for the count before and after each of our runs.
type watcher struct {
	dir     string
	foreign func(ns string)

	mu     sync.Mutex
	wake   int // an eventfd; -1 when watching is not possible here
	names  int // inotify on dir: a socket keeps a deleted namespace alive
	ears   map[string]*ear
	closed bool
}

// ear is what we hold in one namespace.
type ear struct {
	listen, ask int
	busy        sync.Mutex  // held while we write there ourselves
	own         [][2]uint32 // generations (from, to] that we made
}

func newWatcher(dir string, foreign func(string)) *watcher {
	return &watcher{dir: dir, foreign: foreign, wake: -1, names: -1, ears: map[string]*ear{}}
}

// keep makes the watcher listen in exactly these namespaces. Where that is not
// possible nothing is heard and only the audit notices others.
func (w *watcher) keep(namespaces []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if w.wake < 0 && !w.start() {
		return
	}
	for ns, e := range w.ears {
		if !slices.Contains(namespaces, ns) {
			w.forget(ns, e)
		}
	}
	for _, ns := range namespaces {
		if w.ears[ns] != nil {
			continue
		}
		if e, err := w.open(ns); err == nil {
			w.ears[ns] = e
		}
	}
	w.poke()
}

// drop stops listening in a namespace until keep names it again.
func (w *watcher) drop(ns string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.ears[ns]; e != nil {
		w.forget(ns, e)
		w.poke()
	}
}

func (w *watcher) start() bool {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return false
	}
	w.wake = wake
	if fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err == nil {
		w.names = fd
	}
	go w.loop()
	return true
}

func (w *watcher) poke() {
	if w.wake >= 0 {
		unix.Write(w.wake, binary.NativeEndian.AppendUint64(nil, 1))
	}
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.poke()
}

// forget closes an ear; the caller holds mu.
func (w *watcher) forget(ns string, e *ear) {
	delete(w.ears, ns)
	e.busy.Lock()
	unix.Close(e.listen)
	unix.Close(e.ask)
	e.listen, e.ask = -1, -1
	e.busy.Unlock()
}

// open makes the two sockets in a namespace.
func (w *watcher) open(ns string) (*ear, error) {
	e := &ear{listen: -1, ask: -1}
	engine := &Engine{o: Options{NetNSDir: w.dir}}
	err := engine.inside(ns, func() error {
		var err error
		if e.listen, err = netlinkSocket(); err != nil {
			return err
		}
		e.ask, err = netlinkSocket()
		return err
	})
	if err == nil {
		err = onlyGenerations(e.listen)
	}
	if err == nil {
		err = unix.SetsockoptInt(e.listen, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, groupTables)
	}
	if err != nil {
		unix.Close(e.listen)
		unix.Close(e.ask)
		return nil, err
	}
	if ns != "" && w.names >= 0 {
		// Best effort: without it a namespace deleted by hand goes at the next Read.
		unix.InotifyAddWatch(w.names, w.dir, unix.IN_DELETE|unix.IN_MOVED_FROM)
	}
	return e, nil
}

func netlinkSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// onlyGenerations lets only the messages through that end a transaction. A
// batch of ten thousand rules would otherwise overflow the socket.
func onlyGenerations(fd int) error {
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, subsysTables<<8|msgNewGen))
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4}, // nlmsg_type, read as big-endian
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: uint32(kind)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// own runs f, which writes commits transactions in a namespace, and remembers
// their generations. When the count went up by more, somebody else wrote too.
func (w *watcher) own(ns string, commits int, f func() error) error {
	w.mu.Lock()
	e := w.ears[ns]
	w.mu.Unlock()
	if e == nil {
		return f()
	}
	e.busy.Lock()
	defer e.busy.Unlock()
	before, err := e.generation()
	failed := f()
	if err != nil {
		return failed
	}
	after, err := e.generation()
	if err == nil && after-before <= uint32(commits) {
		e.own = append(e.own, [2]uint32{before, after})
		if len(e.own) > 64 {
			e.own = slices.Delete(e.own, 0, len(e.own)-64)
		}
	}
	return failed
}

// generation asks the kernel how many transactions there were.
func (e *ear) generation() (uint32, error) {
	if e.ask < 0 {
		return 0, errors.New("closed")
	}
	msg := make([]byte, 20)
	binary.NativeEndian.PutUint32(msg, 20)
	binary.NativeEndian.PutUint16(msg[4:], subsysTables<<8|msgGetGen)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST)
	if err := unix.Sendto(e.ask, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(e.ask, buf, 0) // the kernel answers before sendto returns
	if err != nil {
		return 0, err
	}
	g, ok := parseGeneration(buf[:n])
	if !ok {
		return 0, fmt.Errorf("unexpected answer of %d bytes", n)
	}
	return g, nil
}

// parseGeneration finds the generation in a netlink message of nf_tables.
func parseGeneration(b []byte) (uint32, bool) {
	if len(b) < 20 || binary.NativeEndian.Uint16(b[4:]) != subsysTables<<8|msgNewGen {
		return 0, false
	}
	for b = b[20:]; len(b) >= 8; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return 0, false
		}
		if binary.NativeEndian.Uint16(b[2:])&0x3fff == attrGeneration && size >= 8 {
			return binary.BigEndian.Uint32(b[4:]), true
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return 0, false
}

// made reports whether the generation is one of ours.
func (e *ear) made(g uint32) bool {
	return slices.ContainsFunc(e.own, func(s [2]uint32) bool { return g-s[0]-1 < s[1]-s[0] })
}

// loop waits for messages until the watcher is closed.
func (w *watcher) loop() {
	for {
		w.mu.Lock()
		if w.closed {
			for ns, e := range w.ears {
				w.forget(ns, e)
			}
			unix.Close(w.wake)
			unix.Close(w.names)
			w.mu.Unlock()
			return
		}
		fds := []unix.PollFd{{Fd: int32(w.wake), Events: unix.POLLIN}, {Fd: int32(w.names), Events: unix.POLLIN}}
		where := []string{"", ""}
		for ns, e := range w.ears {
			fds, where = append(fds, unix.PollFd{Fd: int32(e.listen), Events: unix.POLLIN}), append(where, ns)
		}
		w.mu.Unlock()
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		drain(w.wake, fds[0])
		w.deleted(fds[1])
		for i, fd := range fds[2:] {
			if fd.Revents != 0 {
				w.hear(where[i+2], int(fd.Fd))
			}
		}
	}
}

func drain(fd int, p unix.PollFd) {
	if p.Revents != 0 {
		unix.Read(fd, make([]byte, 8))
	}
}

// deleted closes the ears in namespaces whose names are gone, and says so.
func (w *watcher) deleted(p unix.PollFd) {
	if p.Revents&unix.POLLIN == 0 {
		return
	}
	buf := make([]byte, 8192)
	n, err := unix.Read(w.names, buf)
	if err != nil {
		return
	}
	var gone []string
	w.mu.Lock()
	for off := 0; off+unix.SizeofInotifyEvent <= n; {
		ev := (*unix.InotifyEvent)(unsafe.Pointer(&buf[off]))
		name := unix.ByteSliceToString(buf[off+unix.SizeofInotifyEvent : off+unix.SizeofInotifyEvent+int(ev.Len)])
		if e := w.ears[name]; e != nil && name != "" {
			w.forget(name, e)
			gone = append(gone, name)
		}
		off += unix.SizeofInotifyEvent + int(ev.Len)
	}
	w.mu.Unlock()
	for _, name := range gone { // there may be a new one already: the next Read looks
		w.foreign(name)
	}
}

// hear reads what one namespace announced.
func (w *watcher) hear(ns string, fd int) {
	w.mu.Lock()
	e := w.ears[ns]
	w.mu.Unlock()
	if e == nil {
		return
	}
	e.busy.Lock() // until our own run, if any, has been noted
	foreign := false
	buf := make([]byte, 8192)
	for e.listen == fd {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			foreign = foreign || err == unix.ENOBUFS // something was lost
			break
		}
		if g, ok := parseGeneration(buf[:n]); ok && !e.made(g) {
			foreign = true
		}
	}
	e.busy.Unlock()
	if foreign {
		w.foreign(ns)
	}
}
