package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// commandLine is a process's arguments joined by NUL; "" for a process that is
// gone, a zombie, or a thread of the kernel.
func commandLine(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(b, []byte{0}))
}

// names reports whether one of the arguments is, or ends in, a path in the
// directory: "/dir/pid" or "--pid-file=/dir/pid".
func names(argv, dir string) bool {
	for arg := range strings.SplitSeq(argv, "\x00") {
		i := strings.Index(arg, dir+"/")
		if i == 0 || i > 0 && strings.IndexByte("=,:", arg[i-1]) >= 0 {
			return true
		}
	}
	return false
}

// running is the process that a directory's pid file names, with its arguments;
// 0 when there is none or it is not ours.
func running(dir string) (pid int, argv string) {
	pid = pidOf(dir)
	if pid <= 0 {
		return 0, ""
	}
	argv = commandLine(pid)
	if argv == "" || !names(argv, dir) {
		return 0, ""
	}
	return pid, argv
}

func pidOf(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, pidName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// inode names a network namespace.
type inode struct{ device, number uint64 }

func inodeOf(path string) (inode, bool) {
	st, err := os.Stat(path)
	if err != nil {
		return inode{}, false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, false
	}
	return inode{uint64(sys.Dev), sys.Ino}, true
}

// namespaces are the names of the network namespaces that there are now; the
// agent's own is "".
func (h *Hand) namespaces() map[inode]string {
	out := map[inode]string{}
	entries, err := os.ReadDir(h.o.NetNSDir)
	if err != nil {
		entries = nil // no directory, no named namespaces
	}
	for _, e := range entries {
		if id, ok := inodeOf(filepath.Join(h.o.NetNSDir, e.Name())); ok {
			out[id] = e.Name()
		}
	}
	if id, ok := inodeOf("/proc/thread-self/ns/net"); ok {
		out[id] = ""
	}
	return out
}

// namespaceOf is the name of a process's network namespace. One without a name,
// because it was deleted under the process, is no name that a plan can want.
func namespaceOf(pid int, names map[inode]string) string {
	id, ok := inodeOf("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if name, known := names[id]; ok && known {
		return name
	}
	return "/deleted"
}

// strays are running daemons of a directory that its pid file does not name:
// somebody removed the file, or we died before the daemon wrote it. They run the
// wanted program, have the pid file among their arguments, and see the same
// files as we do: the same path in another container is another file.
func strays(dir, program string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mounts, ok := inodeOf("/proc/self/ns/mnt")
	if !ok {
		return nil
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		argv := commandLine(pid)
		if !strings.HasPrefix(argv, program+"\x00") || !names(argv, dir) || !strings.Contains(argv, dir+"/"+pidName) {
			continue
		}
		if theirs, ok := inodeOf("/proc/" + e.Name() + "/ns/mnt"); ok && theirs == mounts {
			out = append(out, pid)
		}
	}
	return out
}
