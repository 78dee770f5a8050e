package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// consoleEscape ends [Guest.Console]: Ctrl-], as in telnet.
const consoleEscape = 0x1d

// Console connects a terminal to the virtual machine's first serial port
// until Ctrl-] or the end of the input.
func (g *Guest) Console(ctx context.Context, in *os.File, out io.Writer) error {
	if g.Kind != KindVM {
		return fmt.Errorf("lab: %s is a namespace and has no console: use neutrino lab vm exec", g.Name)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", g.socket(socketConsole))
	if err != nil {
		return fmt.Errorf("lab: console of %s: %w", g.Name, err)
	}
	defer conn.Close()
	restore, err := rawTerminal(ctx, in)
	if err != nil {
		return fmt.Errorf("lab: console of %s: %w", g.Name, err)
	}
	defer restore()
	fmt.Fprintf(out, "Console of %s. Ctrl-] leaves it.\r\n", g.Name)
	fmt.Fprint(conn, "\n") // the shell shows its prompt again
	ended := make(chan error, 2)
	go func() { _, err := io.Copy(out, conn); ended <- err }()
	go func() { ended <- typeInto(ctx, conn, in) }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// typeInto sends the input until the escape.
func typeInto(_ context.Context, conn io.Writer, in io.Reader) error {
	buf := make([]byte, 256)
	for {
		n, err := in.Read(buf)
		for i := range n {
			if buf[i] == consoleEscape {
				_, err := conn.Write(buf[:i])
				return err
			}
		}
		if n > 0 {
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// rawTerminal lets every key through to the guest, Ctrl-C too. An input that
// is no terminal is left as it is.
func rawTerminal(_ context.Context, in *os.File) (restore func(), err error) {
	fd := int(in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the terminal's settings: %w", err)
	}
	raw := *old
	raw.Iflag &^= unix.BRKINT | unix.ICRNL | unix.INLCR | unix.IGNCR | unix.ISTRIP | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("change the terminal's settings: %w", err)
	}
	return func() {
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, old); err != nil {
			fmt.Fprintln(os.Stderr, "the terminal's settings could not be put back; type reset")
		}
	}, nil
}
