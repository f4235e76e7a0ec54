using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>A test that needs UCX: skipped, with the reason, where the library is missing.</summary>
internal sealed class UcxFactAttribute : FactAttribute
{
    public UcxFactAttribute() => Skip = UcxTransport.Unavailable;
}

/// <summary>As <see cref="UcxFactAttribute"/>, with data.</summary>
internal sealed class UcxTheoryAttribute : TheoryAttribute
{
    public UcxTheoryAttribute() => Skip = UcxTransport.Unavailable;
}

/// <summary>What a UCX of this machine can be told to use.</summary>
internal static class UcxRows
{
    internal const string Tcp = "tcp", SharedMemory = "posix,cma,self,tcp";

    internal static TransportEndpoint Anywhere => new("ucx", "127.0.0.1", 0);

    internal static TransportOptions Over(string transports) => TransportOptions.Default with { UcxTransports = transports };
}
