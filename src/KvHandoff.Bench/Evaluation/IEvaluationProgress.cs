using KvHandoff.Bench.Evaluation.Load;

namespace KvHandoff.Bench.Evaluation;

/// <summary>Where an evaluation says how far it is. Calls may come from any thread.</summary>
internal interface IEvaluationProgress
{
    /// <summary>A step without a count: asking for models, opening connections.</summary>
    void Step(string text);

    /// <summary>A load begins on a route, with so many requests in all its turns.</summary>
    void LoadStarted(LoadSpec load, string route, int requests);

    /// <summary>A request ended, warm-up too.</summary>
    void RequestEnded(LoadSpec load, RequestRecord record);

    void LoadEnded(LoadSection section);
}
