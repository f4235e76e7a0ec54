using KvHandoff.Transport;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Leaves the inherited tests of a class out, and says why, where UCX is missing.</summary>
public sealed class UcxNeeded(IMessageSink messages) : ITestCaseOrderer
{
    public IEnumerable<TTestCase> OrderTestCases<TTestCase>(IEnumerable<TTestCase> testCases)
        where TTestCase : ITestCase
    {
        if (UcxTransport.Unavailable is not { } missing) return testCases;
        string text = $"{testCases.Count()} tests over UCX are skipped: {missing}";
        messages.OnMessage(new DiagnosticMessage(text));
        Console.WriteLine(text);
        return [];
    }
}
