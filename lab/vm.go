package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The unix sockets of a virtual machine, in its directory.
const (
	socketConsole = "console.sock" // first serial port: kernel messages, then a shell
	socketAgent   = "agent.sock"   // second serial port: the lab's commands
	socketQMP     = "qmp.sock"
	// socketIncoming is where a machine waits for the memory of one that moves.
	socketIncoming = "incoming.sock"
)

// process is the name under which the machine's process is recorded.
func (g *Guest) process() string { return "vm/" + g.Name }

// directory has the files of the machine, for each host in a place of its own:
// QEMU removes the sockets of its names when it ends, also when another machine
// has made them anew meanwhile.
func (g *Guest) directory() string { return g.lab.path("vm", g.Name, g.Instance.Host) }

func (g *Guest) socket(name string) string { return filepath.Join(g.directory(), name) }

// ConsoleLog is the file with all that the virtual machine's console said.
func (g *Guest) ConsoleLog() string { return filepath.Join(g.directory(), "console.log") }

// boot starts the virtual machine under emulation (never KVM: the lab must
// run the same inside a virtual machine).
func (g *Guest) boot(ctx context.Context) error {
	if err := os.MkdirAll(g.directory(), 0o755); err != nil {
		return fmt.Errorf("lab: %s: %w", g.Name, err)
	}
	_, err := g.host.Start(ctx, g.process(), g.machine()...)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return g.host.awaitUnlessDead(wait, g.process(), func() error {
		status, err := machineStatus(wait, g.socket(socketQMP))
		if err == nil && status != "running" && !(g.incoming && status == "inmigrate") {
			err = fmt.Errorf("lab: %s: the machine is %s", g.Name, status)
		}
		return err
	})
}

// machine is QEMU's command line.
func (g *Guest) machine() []string {
	img := g.lab.image()
	socket := func(id, file, more string) string {
		return fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off%s", id, g.socket(file), more)
	}
	argv := []string{"qemu-system-x86_64", "-name", g.Name, "-uuid", g.UUID,
		"-accel", "tcg", "-cpu", "max", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", img.Kernel, "-initrd", img.Initrd,
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off lab.name=" + g.Name,
		"-chardev", socket("console", socketConsole, ",logfile="+g.ConsoleLog()), "-serial", "chardev:console",
		"-chardev", socket("agent", socketAgent, ""), "-serial", "chardev:agent",
		"-qmp", "unix:" + g.socket(socketQMP) + ",server=on,wait=off",
		"-netdev", "tap,id=net0,ifname=" + g.Tap() + ",script=no,downscript=no",
		// Without a ROM the firmware does not try to boot from the network.
		"-device", "virtio-net-pci,netdev=net0,mac=" + g.MAC + ",romfile=",
	}
	if g.incoming {
		argv = append(argv, "-incoming", "unix:"+g.socket(socketIncoming))
	}
	return argv
}

// powerOff ends the virtual machine and takes its process out of the record.
func (g *Guest) powerOff(ctx context.Context) error {
	p, err := g.host.Process(g.process())
	if err != nil {
		return nil // it never started
	}
	if p.Alive(ctx) {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		quitErr := machineQuit(ask, g.socket(socketQMP))
		cancel()
		if err := p.stop(ctx, 2*time.Second); err != nil {
			return errors.Join(err, quitErr)
		}
	}
	return g.lab.forget(ctx, p)
}

// writeScript puts an executable file into the lab's directory.
func (l *Lab) writeScript(_ context.Context, name string, content []byte) (string, error) {
	path := filepath.Join(l.Dir, name)
	if err := os.WriteFile(path, content, 0o755); err != nil {
		return "", fmt.Errorf("lab: %w", err)
	}
	return path, nil
}
