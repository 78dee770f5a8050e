package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"neutrino"
	"neutrino/wholefile"
)

// Home says whose a state directory is.
type Home struct {
	// Host is the name under which the agent with the directory is known.
	Host string `json:"host"`
	// Machine is the directory's own: no other has it, and it stays when the agent
	// starts again.
	Machine string `json:"machine"`
}

// homeFile is the name of a Home in its directory.
const homeFile = "agent-identity.json"

// ErrOtherHost is a state directory that was used under another name than is
// asked for now.
var ErrOtherHost = errors.New("the state directory belongs to another host name")

// Settle is whose the state directory is. An agent of another name would take
// down all that the host has, because the server knows nothing of that name's
// needs here: it is refused before anything is touched. A directory without a
// mark belongs to the host of viewHost, the name in its stored view, or with ""
// to the one that asks; its mark is written.
func Settle(ctx context.Context, dir, host, viewHost string) (Home, error) {
	h, err := readHome(ctx, dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		h = Home{Host: host, Machine: newMachine()}
		if viewHost != "" {
			h.Host = viewHost
		}
	case err != nil:
		return Home{}, err
	}
	if h.Host != host {
		return Home{}, fmt.Errorf("%w: %s was used as host %q and this agent is %q. Nothing was changed on the host. "+
			"Set [DEFAULT] host = %s back; or, to rename the host on purpose, move its instances, routers and networks away and run: "+
			"neutrino agent rename-host --state-path %s %s", ErrOtherHost, dir, h.Host, host, h.Host, dir, host)
	}
	if errors.Is(err, os.ErrNotExist) {
		return h, writeHome(ctx, dir, h)
	}
	return h, nil
}

// Rename gives the state directory to another host name, which the agent has to
// be started with; old is the name of before. The machine stays the same.
func Rename(ctx context.Context, dir, host string) (old string, err error) {
	h, err := readHome(ctx, dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%s: no agent has used this directory", dir)
	case err != nil:
		return "", err
	case host == "" || host == h.Host:
		return h.Host, fmt.Errorf("%s belongs to host %q already", dir, h.Host)
	}
	if _, err := ReadStatus(ctx, SocketPath(dir)); err == nil {
		return h.Host, fmt.Errorf("the agent of host %s runs with %s: stop it first", h.Host, dir)
	}
	old = h.Host
	h.Host = host
	return old, writeHome(ctx, dir, h)
}

func newMachine() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return string(neutrino.NewID(b))
}

func readHome(_ context.Context, dir string) (Home, error) {
	path := filepath.Join(dir, homeFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return Home{}, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var h Home
	if err := d.Decode(&h); err != nil || h.Host == "" || h.Machine == "" {
		return Home{}, fmt.Errorf("%s is damaged (%v): it says {\"host\": …, \"machine\": …}; remove it to have the directory marked anew, by the name in [DEFAULT] host", path, err)
	}
	return h, nil
}

// writeHome replaces the file as a whole: after a crash it is the old or the new.
func writeHome(ctx context.Context, dir string, h Home) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := wholefile.Replace(ctx, filepath.Join(dir, homeFile), append(b, '\n')); err != nil {
		return fmt.Errorf("mark the state directory: %w", err)
	}
	return nil
}
