using KvHandoff.Fuzz;
using KvHandoff.Session;
using Xunit.Abstractions;

namespace KvHandoff.Core.Tests.Session;

/// <summary>A few cases of the fault lab, over every transport that stands on this host, and what the guards are for.</summary>
/// <remarks>In process the lab takes a step when nothing runs any more: nothing else must run beside it.</remarks>
[Collection(ProcessesAlone.Name)]
public sealed class FaultLabTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("loopback", 150)]
    [InlineData("tcp", 60)]
    [InlineData("unix", 40)]
    [InlineData("shm", 40)]
    public async Task Whatever_goes_wrong_every_promise_is_kept(string transport, int cases)
    {
        FaultLab lab = await RunAsync(new LabOptions { Seed = 7, Cases = cases, Transport = transport });
        Assert.Empty(lab.Failures);
        Assert.Equal(cases, lab.Results.Count);
        Assert.Equal(0, lab.Corrupted);
        foreach (HandoffStatus end in new[] { HandoffStatus.Committed, HandoffStatus.Aborted, HandoffStatus.Expired, HandoffStatus.Rejected })
            Assert.NotEqual(0, lab.Count(end));
    }

    [Fact]
    public async Task One_seed_gives_the_same_outcomes_twice()
    {
        var options = new LabOptions { Seed = 11, Cases = 60 };
        FaultLab first = await RunAsync(options), second = await RunAsync(options);
        Assert.Equal(first.Results.Select(r => r.Outcome), second.Results.Select(r => r.Outcome));
        Assert.Equal(first.Hash, second.Hash);
    }

    [Theory]
    [InlineData("fences", "loopback")]
    [InlineData("checksums", "loopback")]
    [InlineData("quarantine", "shm")]
    public async Task Without_a_guard_what_it_guards_against_happens(string guard, string transport)
    {
        var options = new LabOptions { Seed = 5, Cases = 16, Transport = transport };
        FaultLab without = await RunAsync(options with { Without = Enum.Parse<Guards>(guard, ignoreCase: true) });
        Assert.NotEqual(0, without.Corrupted);
        Assert.NotEmpty(without.Failures);
    }

    private async Task<FaultLab> RunAsync(LabOptions options)
    {
        FaultLab lab = await FaultLab.RunAsync(options with { WatchesProcess = false, Report = options.Without == Guards.None ? output.WriteLine : _ => { } });
        output.WriteLine(lab.ToJson().ToJsonString());
        return lab;
    }
}

/// <summary>Two processes, one of them killed again and again.</summary>
[Collection(ProcessesAlone.Name)]
public sealed class FaultLabKillTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Who_survives_the_other_serves_the_next() => Assert.True(await KillDriver.RunAsync(20, seed: 3, output.WriteLine));
}

/// <summary>Damaged bytes for every parser of the library.</summary>
public sealed class FaultLabParserTests(ITestOutputHelper output)
{
    [Fact]
    public void No_damaged_bytes_make_a_parser_throw_or_allocate_without_bounds() => Assert.True(ParserFuzz.Run(seed: 1, TimeSpan.FromSeconds(3), output.WriteLine));
}

/// <summary>Tests whose processes have to answer in time: nothing else runs beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ProcessesAlone
{
    internal const string Name = "processes, alone";
}
