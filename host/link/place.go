package link

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"neutrino/host/inside"
)

// errNoNamespace is a name in the directory of namespaces that holds none, as
// a crash between making the file and mounting on it leaves behind.
var errNoNamespace = errors.New("the name holds no namespace")

// place is a namespace that is kept open, with what was last read in it. The
// agent's own namespace has the name "".
type place struct {
	name     string
	dev, ino uint64
	fd       netns.NsHandle // netns.None for our own
	nl       *netlink.Handle
	sock     int // for ioctls on devices
	fresh    bool
	facts    facts
	watch    *nl.NetlinkSocket // nil when nobody watches
	closed   bool
}

// open opens a namespace by name.
func (h *Hands) open(name string) (*place, error) {
	p := &place{name: name, fd: netns.None(), sock: -1}
	var err error
	if name != "" {
		if err := p.find(h.path(name)); err != nil {
			return nil, err
		}
		if p.fd, err = netns.GetFromPath(h.path(name)); err != nil {
			return nil, fmt.Errorf("link: open namespace %s: %w", name, err)
		}
	}
	if err := p.connect(); err != nil {
		p.close()
		return nil, fmt.Errorf("link: open namespace %q: %w", name, err)
	}
	if h.watching != nil {
		if err := h.watching.follow(p); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

func (p *place) connect() (err error) {
	if p.name == "" {
		p.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
	} else {
		p.nl, err = netlink.NewHandleAt(p.fd, unix.NETLINK_ROUTE)
	}
	if err != nil {
		return err
	}
	return p.in(func() (err error) {
		p.sock, err = ioctlSocket()
		return err
	})
}

// find notes which namespace the name stands for.
func (p *place) find(path string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return fmt.Errorf("link: namespace %s: %w", p.name, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("link: namespace %s: %w", p.name, err)
	}
	if fs.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("link: namespace %s: %w", p.name, errNoNamespace)
	}
	p.dev, p.ino = st.Dev, st.Ino
	return nil
}

// current reports whether the name still stands for this namespace.
func (p *place) current(path string) bool {
	if p.name == "" {
		return true
	}
	now := place{name: p.name}
	return now.find(path) == nil && now.dev == p.dev && now.ino == p.ino
}

func (p *place) close() {
	p.closed = true
	if p.watch != nil {
		_ = p.watch.Close()
	}
	if p.nl != nil {
		_ = p.nl.Close()
	}
	if p.sock >= 0 {
		_ = unix.Close(p.sock)
	}
	if p.fd.IsOpen() {
		_ = p.fd.Close()
	}
}

// in runs a function in the namespace, on a thread that dies after it.
func (p *place) in(f func() error) error {
	if p.name == "" {
		return f()
	}
	return inside.Namespace(fmt.Sprintf("/proc/self/fd/%d", p.fd), f)
}

// create makes a named namespace as ip-netns(8) does: a shared mount point, a
// file, a new namespace mounted on it, lo up.
func (h *Hands) create(name string) error {
	if err := os.MkdirAll(h.options.RunDir, 0o755); err != nil {
		return err
	}
	if err := share(h.options.RunDir); err != nil {
		return err
	}
	path := h.path(name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0)
	if err != nil {
		return err
	}
	_ = f.Close()
	err = inside.Made(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := prepare(); err != nil {
			return err
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount on %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		_ = os.Remove(path)
		return err
	}
	return nil
}

// share makes the directory a shared mount point, so that a namespace made
// here is seen by, and removed from, every mount namespace of the host.
func share(dir string) error {
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // no mount point yet
		if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", dir, err)
		}
		err = unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("share %s: %w", dir, err)
	}
	return nil
}

// prepare is what a new namespace gets before it has a name. It runs in it.
func prepare() error {
	if err := loUp(); err != nil {
		return err
	}
	// Best effort, as upstream: a kernel without IPv6 lacks the latter three.
	// Our addresses are the controller's, so there is nothing to detect, and no
	// router's word counts.
	for name, value := range map[string]string{
		"net.ipv4.conf.all.promote_secondaries": "1",
		"net.ipv6.conf.default.accept_ra":       "0",
		"net.ipv6.conf.default.accept_dad":      "0",
		"net.ipv6.conf.all.accept_ra":           "0",
	} {
		_ = WriteSysctl(name, value)
	}
	return nil
}

func loUp() error {
	nlh, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer nlh.Close()
	return up(nlh, "lo")
}

func up(nlh *netlink.Handle, device string) error {
	l, err := nlh.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	if err := nlh.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", device, err)
	}
	return nil
}
