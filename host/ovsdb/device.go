package ovsdb

import (
	"context"
	"strconv"

	"golang.org/x/sys/unix"
)

// ovs-vswitchd's userspace datapath holds on to a device that is gone, also
// when another one of its name came in its place: it sends to the new one and
// hears nothing from it. Only a port that is removed and added again is heard.
// So each port of ours that is a device remembers the device's index.

// deviceIndex is the number of a network device; 0 when there is none.
func deviceIndex(name string) int {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0
	}
	return int(req.Uint32())
}

// noteDevice adds the device's index to the marks of a new port.
func noteDevice(marks map[string]string, name string) {
	if n := deviceIndex(name); n > 0 {
		marks[markDevice] = strconv.Itoa(n)
	}
}

// replaced reports whether the port was added with another device than the one
// of its name now. While there is none nobody can say.
func replaced(p *portRow) bool {
	if p == nil || p.externalIDs[markDevice] == "" {
		return false
	}
	now := deviceIndex(p.name)
	return now > 0 && strconv.Itoa(now) != p.externalIDs[markDevice]
}

// release removes those of the ports whose device was replaced, waits until
// ovs-vswitchd has let go of it, and returns the database as it is then.
func (d *DB) release(ctx context.Context, x *index, names []string) (*index, error) {
	t := newTxn()
	for _, name := range names {
		if p := x.ports[name]; replaced(p) {
			x.dropPort(t, p)
			t.takeUp = true
		}
	}
	if !t.takeUp {
		return x, nil
	}
	config, err := d.transact(ctx, "release replaced devices", t)
	if err != nil {
		return nil, err
	}
	d.takenUp(ctx, config)
	return d.look(ctx)
}
