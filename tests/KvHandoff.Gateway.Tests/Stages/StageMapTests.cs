using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Stages;
using KvHandoff.Gateway.Tests.Workers;

namespace KvHandoff.Gateway.Tests.Stages;

[Collection(WorkerTests.Name)]
public sealed class StageMapTests(ReferenceText reference)
{
    [Fact]
    public void A_worker_runs_the_stages_of_its_phase_and_one_of_both_phases_all()
    {
        Assert.Equal([typeof(PromptStage)], new StageMap(Phase.Prefill, "any").Stages);
        Assert.Equal([typeof(TokenStage), typeof(ReplayStage)], new StageMap(Phase.Decode, "any").Stages);
        Assert.Equal(StageMap.Known, new StageMap(Phase.Both, "any").Stages);
        Assert.NotNull(new StageMap(Phase.Decode, "any").Create<TokenStage>(reference.Model, 1));
    }

    [Fact]
    public void A_stage_of_another_phase_or_pool_is_not_created_and_the_text_says_where_it_runs()
    {
        string text = Assert.Throws<StageException>(() => new StageMap(Phase.Decode, "west").Create<PromptStage>(reference.Model, 1)).Message;
        Assert.Contains("PromptStage", text);
        Assert.Contains("Prefill", text);
        Assert.Contains("'west'", text);
        Type[] stages = [typeof(Wide), typeof(Narrow)];
        Assert.Equal([typeof(Narrow)], new StageMap(Phase.Decode, "small", stages).Stages);
        Assert.Contains("'large'", Assert.Throws<StageException>(() => new StageMap(Phase.Prefill, "small", stages)).Message);
        Assert.Contains(nameof(Undeclared), Assert.Throws<StageException>(() => new StageMap(Phase.Both, "small", [typeof(Undeclared)])).Message);
    }

    [Fact]
    public void A_phase_without_a_pool_is_named_with_its_stage()
    {
        StageMap.RequireCovered([(Phase.Prefill, "a"), (Phase.Decode, "b")]);
        StageMap.RequireCovered([(Phase.Both, "a")]);
        string none = Assert.Throws<StageException>(() => StageMap.RequireCovered([(Phase.Prefill, "a")])).Message;
        Assert.Contains("TokenStage", none);
        Assert.Contains("Decode", none);
        Assert.Contains("Prefill in pool 'a'", none);
        Type[] stages = [typeof(Wide), typeof(Narrow)];
        StageMap.RequireCovered([(Phase.Prefill, "large"), (Phase.Decode, "x")], stages);
        string pool = Assert.Throws<StageException>(() => StageMap.RequireCovered([(Phase.Prefill, "small"), (Phase.Decode, "large")], stages)).Message;
        Assert.Contains("Wide", pool);
        Assert.Contains("'large'", pool);
    }

    [RunsOn(Phase.Prefill, Pool = "large")]
    private sealed class Wide;

    [RunsOn(Phase.Decode)]
    private sealed class Narrow;

    private sealed class Undeclared;
}
