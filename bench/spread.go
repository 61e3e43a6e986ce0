package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"
)

// spread queues messages for many domains in random order while delivery is suspended,
// releases them, and compares with the same number for one domain.
func spread(o *options, out *strings.Builder) error {
	const hosts = 10
	var addrs []string
	var zone strings.Builder
	for i := range o.domains {
		fmt.Fprintf(&zone, "d%d.many.test. 300 IN MX 10 mx%d.many.test.\n", i, i%hosts)
	}
	for i := range hosts {
		addrs = append(addrs, fmt.Sprintf("127.0.1.%d", i+1))
		fmt.Fprintf(&zone, "mx%d.many.test. 300 IN A %s\n", i, addrs[i])
	}
	fmt.Fprintf(out, "## %d messages queued, then released\n\n", o.spread)
	fmt.Fprintf(out, "In random order over the domains, %d addresses; one recipient each, 2048 octets; median of %d runs.\n\n", hosts, o.reps)
	fmt.Fprintln(out, "| domains | messages/s | CPU ms/message |\n|---:|---:|---:|")
	medians := map[int]float64{}
	for _, domains := range []int{1, o.domains} {
		var results []sample
		for rep := range o.reps {
			s, err := releaseRun(o, zone.String(), addrs, domains, uint64(rep))
			if err != nil {
				return fmt.Errorf("%d domains: %w", domains, err)
			}
			progress("%d domains, run %d: %.0f messages/s, %.3f ms CPU a message", domains, rep+1, s.rate, s.cpu*1000)
			results = append(results, s)
		}
		medians[domains] = median(results, rate)
		fmt.Fprintf(out, "| %d | %s | %s |\n", domains, spreadOf(results, rate, "%.0f"), spreadOf(results, perMessage, "%.3f"))
	}
	fmt.Fprintf(out, "\n%d domains against one: %.2f times the rate.\n\n", o.domains, medians[o.domains]/medians[1])
	return nil
}

func releaseRun(o *options, zone string, addrs []string, domains int, seed uint64) (s sample, err error) {
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	sk, err := startSink(o, addrs...)
	if err != nil {
		return s, err
	}
	defer sk.stop()
	server := &sluice{root: o.root, zone: zone}
	if err := server.start(dir, true); err != nil {
		return s, err
	}
	order := rand.New(rand.NewPCG(seed, 1)).Perm(o.spread)
	if err := send(20, 2048, o.spread, func(i int) string { return fmt.Sprintf("u%d@d%d.many.test", i, order[i]%domains) }); err != nil {
		return s, err
	}
	cpu0, begin := peerCPU(sk.pids()...), time.Now()
	if err := server.release(); err != nil {
		return s, err
	}
	if err := sk.await(o.spread); err != nil {
		return s, fmt.Errorf("%w; %s", err, server.deferred())
	}
	took := time.Since(begin).Seconds()
	s = sample{rate: float64(o.spread) / took, cpu: (peerCPU(sk.pids()...) - cpu0) / float64(o.spread)}
	return s, server.stop()
}

// memory queues many messages while delivery is suspended and reads the resident memory,
// then kills the server and reads it again after the restart.
func memory(o *options, out *strings.Builder) error {
	const size = 2048
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	server := &sluice{root: o.root}
	if err := server.start(dir, true); err != nil {
		return err
	}
	begin := time.Now()
	if err := send(50, size, o.million, func(i int) string { return fmt.Sprintf("u%d@d%d.many.test", i, i%o.domains) }); err != nil {
		return err
	}
	queued := time.Since(begin)
	before, err := resident(server.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := server.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = server.cmd.Wait() // killed: an error by nature
	begin = time.Now()
	if err := server.launch(); err != nil {
		return err
	}
	ready := time.Since(begin)
	if err := server.await(o.million); err != nil {
		return err
	}
	recovered := time.Since(begin)
	after, err := resident(server.cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "## Memory with %d messages of %d octets queued over %d domains\n\n", o.million, size, o.domains)
	fmt.Fprintln(out, "| | resident MB | seconds |\n|---|---:|---:|")
	fmt.Fprintf(out, "| queued | %d | %.0f |\n", before>>20, queued.Seconds())
	fmt.Fprintf(out, "| killed and started again | %d | %.1f until it takes mail, %.1f until all is recovered |\n\n", after>>20, ready.Seconds(), recovered.Seconds())
	return server.stop()
}
