package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Who there is in the identity service. The password is everybody's: the
// service listens on loopback and lives as long as the run.
const (
	adminUser   = "admin"
	demoUser    = "demo"
	serviceUser = "neutron"
	password    = "secret"
	region      = "RegionOne"
	domain      = "Default"
)

// keystone is the identity service of a run.
type keystone struct {
	url   string // with /v3
	admin rest
}

// env is what clients read to be a user in the project of the same name.
func (k *keystone) env(user string) []string {
	return []string{
		"OS_AUTH_URL=" + k.url, "OS_USERNAME=" + user, "OS_PASSWORD=" + password, "OS_PROJECT_NAME=" + user,
		"OS_USER_DOMAIN_NAME=" + domain, "OS_PROJECT_DOMAIN_NAME=" + domain, "OS_REGION_NAME=" + region,
		"OS_IDENTITY_API_VERSION=3",
	}
}

// startKeystone starts Debian's Keystone on SQLite: one process with one
// thread, so that no writer waits for another and the cache in its memory is
// always true.
func (s *stack) startKeystone(ctx context.Context) error {
	template, err := s.keystoneTemplate(ctx)
	if err != nil {
		return fmt.Errorf("keystone: %w", err)
	}
	if err := copyTree(ctx, template, s.path("keystone")); err != nil {
		return fmt.Errorf("keystone: %w", err)
	}
	if err := writeKeystoneConf(ctx, s.path("keystone")); err != nil {
		return err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return err
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	p, err := s.start(ctx, command{name: "keystone", argv: []string{
		"uwsgi", "--plugins", "python3", "--http-socket", address, "--die-on-term", "--need-app",
		"--processes", "1", "--threads", "1", "--enable-threads", "--buffer-size", "65535", "--listen", "100",
		// It closes a connection without a word when the parts of a request are four
		// seconds apart, which a busy machine makes of them.
		"--socket-timeout", "60",
		"--add-header", "Connection: close", "--disable-logging", "--wsgi-file", "/usr/bin/keystone-wsgi-public",
	}, env: []string{"OS_KEYSTONE_CONFIG_DIR=" + s.path("keystone"), "OS_KEYSTONE_CONFIG_FILES=keystone.conf"}})
	if err != nil {
		return err
	}
	s.keystone = &keystone{url: "http://" + address + "/v3"}
	err = p.await(ctx, time.Minute, func(ctx context.Context) error {
		_, err := rest{base: s.keystone.url}.ask(ctx, "GET ", nil, nil)
		return err
	})
	if err != nil {
		return err
	}
	s.say("Keystone answers at %s", s.keystone.url)
	s.keystone.admin, err = s.keystone.login(ctx, adminUser)
	return err
}

// keystoneTemplate is a directory with a fresh database and fresh keys, made
// once for each version of the package: Keystone takes its time to make them.
func (s *stack) keystoneTemplate(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", "keystone").Output()
	if err != nil {
		return "", fmt.Errorf("the package is not installed: run make conformance: %w", err)
	}
	return s.template(ctx, "keystone-"+string(version), func(ctx context.Context, dir string) error {
		s.say("making Keystone's database, once")
		return fillTemplate(ctx, dir)
	})
}

// template is a directory of the cache under a name, filled once.
func (s *stack) template(ctx context.Context, name string, fill func(context.Context, string) error) (string, error) {
	cache := "/var/cache/neutrino-conformance"
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	made := filepath.Join(cache, strings.NewReplacer("/", "_", ":", "_").Replace(name))
	if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
		return made, err
	}
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := fill(ctx, work); err != nil {
		return "", err
	}
	return made, os.Rename(work, made)
}

// fillTemplate lets keystone-manage make database, keys and the administrator.
func fillTemplate(ctx context.Context, dir string) error {
	if err := writeKeystoneConf(ctx, dir); err != nil {
		return err
	}
	own := []string{"--keystone-user", "root", "--keystone-group", "root"}
	for _, args := range [][]string{
		{"db_sync"},
		append([]string{"fernet_setup"}, own...),
		append([]string{"credential_setup"}, own...),
		{"bootstrap", "--bootstrap-username", adminUser, "--bootstrap-password", password, "--bootstrap-project-name", adminUser,
			"--bootstrap-role-name", "admin", "--bootstrap-service-name", "keystone", "--bootstrap-region-id", region,
			// The port is another in each run; see [stack.endpoints].
			"--bootstrap-public-url", "http://127.0.0.1/v3"},
	} {
		cmd := exec.CommandContext(ctx, "keystone-manage", append([]string{"--config-file", filepath.Join(dir, "keystone.conf")}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("keystone-manage %s: %w:\n%s", args[0], err, lastLines(string(out), tailLines))
		}
	}
	return nil
}

func writeKeystoneConf(_ context.Context, dir string) error {
	conf := fmt.Sprintf(`# Written by neutrino's conformance run.
[DEFAULT]
log_dir = %[1]s
log_file = keystone.log

[database]
connection = sqlite:///%[1]s/keystone.sqlite

[cache]
enabled = true
backend = dogpile.cache.memory

[identity]
# Passwords that guard nothing need not be slow.
password_hash_rounds = 4

[token]
provider = fernet
expiration = 43200

[fernet_tokens]
key_repository = %[1]s/fernet-keys

[fernet_receipts]
key_repository = %[1]s/fernet-keys

[credential]
key_repository = %[1]s/credential-keys
`, dir)
	return os.WriteFile(filepath.Join(dir, "keystone.conf"), []byte(conf), 0o600)
}

// login gets a token for a user's own project.
func (k *keystone) login(ctx context.Context, user string) (rest, error) {
	home := object{"name": domain}
	h, err := rest{base: k.url}.ask(ctx, http.MethodPost+" /auth/tokens", object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{
			"user": object{"name": user, "password": password, "domain": home}}},
		"scope": object{"project": object{"name": user, "domain": home}},
	}}, nil)
	if err != nil {
		return rest{}, fmt.Errorf("log in as %s: %w", user, err)
	}
	return rest{base: k.url, token: h.Get("X-Subject-Token")}, nil
}
