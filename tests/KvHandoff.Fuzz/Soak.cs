using System.Diagnostics;

namespace KvHandoff.Fuzz;

/// <summary>The lab for a long time, watching that neither memory nor descriptors nor threads grow once it is warm.</summary>
internal static class Soak
{
    private const int Samples = 20;

    internal static async Task<bool> RunAsync(TimeSpan time, LabOptions options, Action<string> report)
    {
        var resident = new List<long>();
        bool good = true;
        int most = 0;
        for (int i = 0; i < Samples && good; i++)
        {
            FaultLab lab = await FaultLab.RunAsync(options with { Seed = options.Seed + (ulong)i, Limit = time / Samples, Cases = int.MaxValue });
            foreach (string failure in lab.Failures) report(failure);
            good = lab.Failures.Count == 0;
            GC.Collect();
            using var self = Process.GetCurrentProcess();
            resident.Add(self.WorkingSet64 >> 20);
            (int threads, int descriptors) = ProcessUse.Now();
            if (i == 1) most = descriptors + 8;
            if (i > 1 && descriptors > most)
            {
                report($"{descriptors} descriptors are open; after warming up at most {most} were");
                good = false;
            }

            report($"{lab.Results.Count} handoffs, {resident[^1]} MiB resident, {descriptors} descriptors, {threads} threads of sessions");
        }

        if (!good) return false;
        // The first quarter warms up; the last must not be above the second by more than a fifth.
        long early = resident[(Samples / 4)..(Samples / 2)].Max(), late = resident[^(Samples / 4)..].Max();
        if (late <= early + early / 5 + 16) return true;
        report($"resident memory grew from {early} to {late} MiB");
        return false;
    }
}
