package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"neutrino"
	"neutrino/lab"
)

// quick is put where Debian's python finds it; see there.
//
//go:embed sitecustomize.py
var quick string

// tempestDir is where Debian's package has tempest.
const tempestDir = "/usr/lib/python3/dist-packages"

// suite is some of the tests that tempest runs.
type suite struct {
	part  string // of the run
	tests string // a regular expression of their names
	// without has the tests that are left out, each with the reason.
	without map[string]string
	// image and flavor are what instances are made of; "" where there is no Nova.
	image, flavor string
	// workers is how many tests may run at a time; 0 is what -concurrency says.
	workers int
}

func tempestSuite() suite { return suite{part: partTempest, tests: `^tempest\.api\.network\.`} }

// tempest runs a suite's tests of the network API.
func (s *stack) tempest(ctx context.Context, of suite) ([]result, error) {
	if of.workers == 0 {
		of.workers = s.concurrency
	}
	aliases, err := s.extensions(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.prepareTempest(ctx, of, aliases); err != nil {
		return nil, err
	}
	all, err := s.listTests(ctx, of)
	if err != nil {
		return nil, err
	}
	tests, results := of.leaveOut(all)
	s.say("%s: %d tests, %d workers", of.part, len(tests), of.workers)
	log := &testLog{suite: of, say: s.say, total: len(tests), tests: map[string]*testRun{}}
	if err := s.runTests(ctx, log, tests); err != nil {
		return nil, err
	}
	results = append(log.results(tests), results...)
	return results, s.keepTraces(ctx, log)
}

// leaveOut parts the tests that are run from those that are not, which are
// skipped with their reason.
func (u suite) leaveOut(all []string) (tests []string, results []result) {
	for _, id := range all {
		if why, out := u.without[plainName(id)]; out {
			results = append(results, result{Name: plainName(id), Status: skipped, Reason: "left out: " + why})
		} else {
			tests = append(tests, id)
		}
	}
	return tests, results
}

// extensions are the aliases that the server says it has.
func (s *stack) extensions(ctx context.Context) ([]string, error) {
	found, err := s.network.list(ctx, "/v2.0/extensions", "")
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, e := range found {
		aliases = append(aliases, e.text("alias"))
	}
	slices.Sort(aliases)
	return aliases, nil
}

// instancesConf is what tempest has to know to boot instances, and to look at
// them from inside.
func (s *stack) instancesConf(run suite) string {
	return fmt.Sprintf(`
[compute]
image_ref = %[1]s
image_ref_alt = %[1]s
flavor_ref = %[2]s
flavor_ref_alt = %[2]s
region = %[3]s
min_compute_nodes = 2
build_interval = 1
ready_wait = 0

[compute-feature-enabled]
vnc_console = false
resize = false
cold_migration = false
live_migration = true
block_migration_for_live_migration = true
suspend = false
shelve = false
snapshot = false
console_output = true
interface_attach = true
config_drive = false

[image]
region = %[3]s

[validation]
run_validation = true
connect_method = floating
auth_method = keypair
image_ssh_user = root
ping_timeout = 120
ssh_timeout = 120
connect_timeout = 30

[scenario]
dhcp_client = udhcpc
`, run.image, run.flavor, region)
}

// pluginConf is what neutron-tempest-plugin reads.
const pluginConf = `
[neutron_plugin_options]
available_type_drivers = flat,vlan,gre,vxlan,geneve
provider_vlans = %s
agent_availability_zone = %s
create_shared_resources = true
`

// tempestConf is tempest's configuration for a cloud of identity and network, and
// of compute and images where there are any. All that the server says it can is
// tested.
func (s *stack) tempestConf(run suite, aliases []string) string {
	compute := strconv.FormatBool(run.image != "")
	more := "\n[validation]\nrun_validation = false\n"
	if run.image != "" {
		more = s.instancesConf(run)
	}
	return fmt.Sprintf(`# Written by neutrino's conformance run.
[DEFAULT]
log_dir = %[1]s
log_file = tempest.log

[auth]
use_dynamic_credentials = true
create_isolated_networks = %[10]s
tempest_roles = member
admin_username = %[2]s
admin_password = %[3]s
admin_project_name = %[2]s
admin_domain_name = %[4]s

[identity]
auth_version = v3
uri_v3 = %[5]s
region = %[6]s
v3_endpoint_type = public
admin_role = admin
default_domain_id = default

[identity-feature-enabled]
api_v2_admin = false

[oslo_concurrency]
lock_path = %[1]s/lock

[service_available]
neutron = true
nova = %[10]s
glance = %[10]s
cinder = false
swift = false

[network]
public_network_id = %[7]s
floating_network_name = %[8]s
project_networks_reachable = false
endpoint_type = public
region = %[6]s

[network-feature-enabled]
api_extensions = %[9]s
ipv6_subnet_attributes = true
port_security = true

`, s.path("tempest"), adminUser, password, domain, s.keystone.url, region, s.public, publicNetwork, strings.Join(aliases, ","), compute) +
		fmt.Sprintf(pluginConf, lab.PhysicalNetwork, neutrino.DefaultZone) + more
}

// prepareTempest writes the files that tempest reads.
func (s *stack) prepareTempest(_ context.Context, run suite, aliases []string) error {
	for _, dir := range []string{"tempest/etc", "tempest/lock", "tempest/python"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return fmt.Errorf("tempest: %w", err)
		}
	}
	stestr := "[DEFAULT]\ntest_path=" + tempestDir + "/tempest/test_discover\ntop_dir=" + tempestDir +
		"\ngroup_regex=([^\\.]*\\.)*\n" // a class in one worker: its set-up serves all its tests
	for name, content := range map[string]string{
		"tempest/etc/tempest.conf": s.tempestConf(run, aliases), "tempest/.stestr.conf": stestr, "tempest/python/sitecustomize.py": quick,
	} {
		if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("tempest: %w", err)
		}
	}
	return nil
}

// stestr is a command of Debian's test runner, which runs "python3" from PATH.
func (s *stack) stestr(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/stestr", args...)
	cmd.Dir = s.path("tempest")
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH="+s.path("tempest/python"), "PYTHONHOME=",
		"TEMPEST_CONFIG_DIR="+s.path("tempest/etc"), "TEMPEST_CONFIG=tempest.conf", "OS_TEST_TIMEOUT=300",
		"OS_LOG_CAPTURE=1", "OS_STDOUT_CAPTURE=1", "OS_STDERR_CAPTURE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// listTests are the tests of the suite that -regex chooses.
func (s *stack) listTests(ctx context.Context, of suite) ([]string, error) {
	wanted, err := regexp.Compile(s.regex)
	if err != nil {
		return nil, fmt.Errorf("-regex: %w", err)
	}
	ours, err := regexp.Compile(of.tests)
	if err != nil {
		return nil, err
	}
	if out, err := s.stestr(ctx, "init").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("stestr init: %w:\n%s", err, out)
	}
	var complaint bytes.Buffer
	cmd := s.stestr(ctx, "list", of.tests)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("stestr list: %w:\n%s", err, lastLines(string(out)+complaint.String(), tailLines))
	}
	var tests []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); ours.MatchString(line) && wanted.MatchString(line) {
			tests = append(tests, line)
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("-regex %s: no test of %s matches", s.regex, of.part)
	}
	return tests, nil
}

// runTests runs the tests and reads their events as they come.
func (s *stack) runTests(ctx context.Context, log *testLog, tests []string) error {
	chosen := s.path("tempest", "tests")
	if err := os.WriteFile(chosen, []byte(strings.Join(tests, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("tempest: %w", err)
	}
	cmd := s.stestr(ctx, "run", "--concurrency", strconv.Itoa(log.workers), "--subunit", "--load-list", chosen)
	if log.image != "" {
		// Tests reach instances by their floating IPs, so they are where those are seen.
		outside, err := s.outside()
		if err != nil {
			return err
		}
		cmd.Path, cmd.Args = "/usr/bin/nsenter", append([]string{"nsenter", "--target", strconv.Itoa(outside.Holder), "--net", "--"}, cmd.Args...)
	}
	complaint, err := os.Create(s.path("log", "stestr.log"))
	if err != nil {
		return err
	}
	defer complaint.Close()
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { out.Close() }) // workers may hold the other end
	defer stop()
	err = readPackets(bufio.NewReader(out), log.take)
	_, _ = io.Copy(io.Discard, out) // after an error the rest must not block the writer
	var exit *exec.ExitError
	// A test that failed is an exit code too; what failed, the events say.
	if werr := cmd.Wait(); werr != nil && !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// testRun is what the events said of one test, or of one set-up of a class.
type testRun struct {
	status        status
	began, ended  time.Time
	reason, trace []byte
}

// testLog collects events.
type testLog struct {
	suite
	say         func(string, ...any)
	total, done int
	failed      int
	tests       map[string]*testRun
}

func (l *testLog) take(p packet) {
	if p.test == "" {
		return
	}
	t := l.tests[p.test]
	if t == nil {
		t = &testRun{}
		l.tests[p.test] = t
	}
	switch p.file {
	case "reason":
		t.reason = append(t.reason, p.content...)
	case "traceback":
		t.trace = append(t.trace, p.content...)
	}
	switch p.status {
	case testInProgress:
		t.began = p.at
		return
	case testSuccess, testExpectedFailure:
		t.status = passed
	case testSkipped:
		t.status = skipped
	case testFailed, testUnexpectedSuccess:
		t.status = failed
		l.failed++
		l.say("%s: failed: %s", l.part, plainName(p.test))
	default:
		return
	}
	t.ended = p.at
	if l.done++; l.done%25 == 0 {
		l.say("%s: %d of %d done, %d failed", l.part, l.done, l.total, l.failed)
	}
}

// plainName is a test's name without its tags: "a.b.test_c[id-1,smoke]".
func plainName(id string) string {
	name, _, _ := strings.Cut(id, "[")
	return name
}

// classOf is the class of a test, and of "setUpClass (a.b.C)" the same C.
func classOf(id string) string {
	if _, class, ok := strings.Cut(id, " ("); ok {
		return strings.TrimSuffix(class, ")")
	}
	name := plainName(id)
	return name[:max(0, strings.LastIndex(name, "."))]
}

// results is what became of each test. One without events shares the fate of
// its class; without that it did not run, which is a failure. What went wrong
// outside of any test, in a class's tear-down, is a failure of its own.
func (l *testLog) results(tests []string) []result {
	classes := map[string]*testRun{}
	for id, t := range l.tests {
		if strings.Contains(id, " (") && t.status != passed {
			classes[classOf(id)] = t
		}
	}
	var out []result
	known := map[string]bool{}
	for _, id := range tests {
		known[id] = true
		t := l.tests[id]
		if t == nil || t.status == "" {
			t = classes[classOf(id)]
		}
		if t == nil || t.status == "" {
			t = &testRun{status: failed, reason: []byte("it did not run, or did not end")}
		}
		out = append(out, t.result(plainName(id)))
	}
	for _, id := range slices.Sorted(maps.Keys(l.tests)) {
		if t := l.tests[id]; !known[id] && t.status == failed && !strings.HasPrefix(id, "setUpClass") {
			out = append(out, t.result(id))
		}
	}
	return out
}

func (t *testRun) result(name string) result {
	r := result{Name: name, Status: t.status, Reason: string(t.reason)}
	if !t.began.IsZero() && !t.ended.IsZero() {
		r.Seconds = t.ended.Sub(t.began).Seconds()
	}
	if t.status == failed && len(t.trace) > 0 {
		r.Reason = lastWords(string(t.trace))
	}
	return r
}

// lastWords is what a traceback ends with: the exception, from its first line.
func lastWords(trace string) string {
	lines := strings.Split(strings.TrimSpace(trace), "\n")
	for i := len(lines) - 1; i > 0; i-- {
		if strings.HasPrefix(lines[i-1], "  ") && !strings.HasPrefix(lines[i], " ") {
			return strings.TrimSpace(lines[i-1]) + "\n" + strings.Join(lines[i:], "\n")
		}
	}
	return lastLines(trace, 3)
}

// keepTraces leaves the failures' tracebacks and each test's time.
func (s *stack) keepTraces(_ context.Context, log *testLog) error {
	if err := os.MkdirAll(s.results, 0o755); err != nil {
		return fmt.Errorf("tempest: %w", err)
	}
	var b bytes.Buffer
	for _, id := range slices.Sorted(maps.Keys(log.tests)) {
		if t := log.tests[id]; t.status == failed {
			fmt.Fprintf(&b, "==== %s\n%s\n", id, t.trace)
		}
	}
	return os.WriteFile(filepath.Join(s.results, log.part+"-failures.txt"), b.Bytes(), 0o644)
}
