package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stamp changes whenever a file is replaced, written or given another mode. It
// has the inode's change time, which nobody can set back.
type stamp struct {
	inode, device  uint64
	size           int64
	mtime, changed int64
	mode           uint32
}

// stampOf is the stamp of a regular file; false when there is none.
func stampOf(path string) (stamp, bool) {
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() {
		return stamp{}, false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	return stamp{
		inode: sys.Ino, device: uint64(sys.Dev), size: st.Size(), mtime: sys.Mtim.Nano(), changed: sys.Ctim.Nano(),
		mode: uint32(st.Mode() & fs.ModePerm),
	}, true
}

// watcher hears of changes in directories.
type watcher struct {
	file *os.File

	mu   sync.Mutex
	dirs map[int32]string
}

// watching adds a directory to what is watched. Where the system has no more
// watches to give, only the audit notices changes. The caller holds h.mu.
func (h *Hand) watching(dir string) {
	if h.watch == nil {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return
		}
		h.watch = &watcher{file: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]string{}}
		go h.listen(h.watch)
	}
	h.watch.add(dir)
}

func (w *watcher) add(dir string) {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// The error says that the file is closed; then nothing is watched any more.
	_ = conn.Control(func(fd uintptr) {
		id, err := unix.InotifyAddWatch(int(fd), dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|
			unix.IN_DELETE|unix.IN_ATTRIB|unix.IN_CREATE|unix.IN_DELETE_SELF|unix.IN_ONLYDIR)
		if err == nil {
			w.dirs[int32(id)] = dir
		}
	})
}

func (w *watcher) close() { w.file.Close() }

// listen reads events until the watcher is closed.
func (h *Hand) listen(w *watcher) {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		foreign := false
		for off := 0; off+unix.SizeofInotifyEvent <= n; {
			ev := (*unix.InotifyEvent)(unsafe.Pointer(&buf[off]))
			end := off + unix.SizeofInotifyEvent + int(ev.Len)
			name := unix.ByteSliceToString(buf[off+unix.SizeofInotifyEvent : end])
			foreign = h.foreign(w, ev, name) || foreign
			off = end
		}
		if foreign {
			select {
			case h.events <- struct{}{}:
			default:
			}
		}
	}
}

// foreign reports whether an event is somebody else's: our own writes leave the
// file as we noted it.
func (h *Hand) foreign(w *watcher, ev *unix.InotifyEvent, name string) bool {
	if ev.Mask&unix.IN_Q_OVERFLOW != 0 {
		return true
	}
	w.mu.Lock()
	dir, known := w.dirs[ev.Wd]
	if ev.Mask&unix.IN_IGNORED != 0 {
		delete(w.dirs, ev.Wd)
	}
	w.mu.Unlock()
	if !known || name == "" || slices.Contains(runtimeNames(), name) || strings.HasPrefix(name, temporary) {
		return false
	}
	path := filepath.Join(dir, name)
	h.mu.Lock() // until our own Apply, if any, has noted what it wrote
	defer h.mu.Unlock()
	if ev.Mask&unix.IN_ISDIR != 0 {
		return h.directory(path)
	}
	now, exists := stampOf(path)
	was, ours := h.cache[path]
	if h.seeds[path] {
		return ours && !exists
	}
	return exists != ours || now != was.stamp
}

// directory looks at a directory that came or went: it is somebody else's doing
// when files that we know went with it, or files came that we do not know.
func (h *Hand) directory(path string) bool {
	entries, err := os.ReadDir(path)
	if err != nil {
		for known := range h.cache {
			if strings.HasPrefix(known, path+"/") {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, known := h.cache[filepath.Join(path, e.Name())]
		return !known && !slices.Contains(runtimeNames(), e.Name()) && !strings.HasPrefix(e.Name(), temporary)
	})
}
