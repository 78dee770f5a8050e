package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"neutrino/host/inside"
)

// refused is a tool's answer that it did not do what it was told.
type refused struct {
	command string
	code    int
	stderr  string
}

func (r *refused) Error() string {
	text := strings.Join(strings.Fields(r.stderr), " ")
	if i := strings.Index(text, " Try `"); i > 0 {
		text = text[:i]
	}
	return fmt.Sprintf("%s: exit code %d: %s", r.command, r.code, text)
}

func (e *Engine) exists(ns string) bool {
	if ns == "" {
		return true
	}
	_, err := os.Stat(filepath.Join(e.o.NetNSDir, ns))
	return err == nil
}

// run runs one tool in a namespace, with its input, and returns its output.
func (e *Engine) run(ctx context.Context, ns, stdin string, argv ...string) (string, error) {
	path, err := find(argv[0])
	if err != nil {
		return "", err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = e.inside(ns, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return "", &refused{argv[0], exit.ExitCode(), errs.String()}
	}
	if err != nil {
		return "", fmt.Errorf("running %s: %w", argv[0], err)
	}
	return out.String(), nil
}

// inside calls f in a namespace. A child inherits the namespace of the thread
// that starts it.
func (e *Engine) inside(ns string, f func() error) error {
	if ns == "" {
		return f()
	}
	return inside.Namespace(filepath.Join(e.o.NetNSDir, ns), f)
}

// find looks a tool up. A service's PATH often lacks the directories of root's tools.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	pkg := "iptables"
	if name == "ipset" {
		pkg = "ipset"
	}
	return "", fmt.Errorf("%s is not installed: install the package %q", name, pkg)
}

// restore feeds a batch to iptables-restore. Exit code 4 is a resource problem:
// the lock, or another writer between our read and our commit, so it is tried again.
func (e *Engine) restore(ctx context.Context, p place, batch string) error {
	commits := strings.Count(batch, "\nCOMMIT\n")
	var err error
	for try := range 5 {
		err = e.watch.own(p.ns, commits, func() error {
			_, err := e.run(ctx, p.ns, batch, tool(p.family, "restore"), "--noflush", "-w")
			return err
		})
		var r *refused
		if !errors.As(err, &r) || r.code != 4 || blamed(r) > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try+1) * 20 * time.Millisecond):
		}
	}
	return err
}

// detect asks once which back-end the tools use, and reads the protocol names
// that iptables-save prints.
func (e *Engine) detect(ctx context.Context) error {
	if e.backend != "" {
		return nil
	}
	found := ""
	for _, name := range []string{"iptables", "ip6tables"} {
		out, err := e.run(ctx, "", "", name, "-V")
		if err != nil {
			return fmt.Errorf("iptables: %w", err)
		}
		backend := "legacy"
		if strings.Contains(out, "nf_tables") {
			backend = "nf_tables"
		}
		if found != "" && found != backend {
			return fmt.Errorf("iptables: iptables uses the %s back-end and ip6tables uses %s: "+
				"set both alike with update-alternatives", found, backend)
		}
		found = backend
	}
	e.names = protocolNames()
	if text, err := os.ReadFile("/etc/protocols"); err == nil {
		addProtocols(e.names, string(text))
	}
	e.backend = found
	return nil
}

// refuseMix looks whether the other back-end holds chains of ours: the kernel
// would run both, and nobody could say which one lets a packet through.
func (e *Engine) refuseMix(ctx context.Context, p place) error {
	other := map[string]string{"nf_tables": "legacy", "legacy": "nft"}[e.backend]
	name := strings.Replace(tool(p.family, "save"), "tables-", "tables-"+other+"-", 1)
	if _, err := find(name); err != nil {
		return nil // the other back-end cannot be asked, so nobody here wrote it
	}
	out, err := e.run(ctx, p.ns, "", name)
	if err != nil {
		return nil // its kernel side is absent
	}
	for table, t := range e.parseSave(out).tables {
		for chain := range t.chains {
			return fmt.Errorf("iptables: %v: chain %s of table %s is in the %s back-end, while iptables uses %s: "+
				"remove our chains there (%s) or switch the tools with update-alternatives", p, chain, table, other, e.backend,
				strings.Replace(name, "-save", "", 1))
		}
	}
	return nil
}
