using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>The library that is looked for at run time: what a user hears without it, and that its structures are what the header says.</summary>
public sealed class UcxLibraryTests
{
    [Fact]
    public async Task Without_the_library_the_text_names_the_file_the_package_and_the_way_out()
    {
        const string Absent = "libucp-that-nobody-has.so.0";
        ProcessStartInfo start = new("dotnet", [Path.Combine(AppContext.BaseDirectory, "KvHandoff.TestPeer.dll"), "ucx://127.0.0.1:7471", "prefill", "1"]) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true };
        start.Environment[UcxLibrary.Variable] = Absent;
        using Process process = Process.Start(start)!;
        string errors = await process.StandardError.ReadToEndAsync().WaitAsync(Blocking.Limit);
        await process.WaitForExitAsync().WaitAsync(Blocking.Limit);
        Assert.Equal(3, process.ExitCode);
        foreach (string named in new[] { "ucx://127.0.0.1:7471", Absent, "libucx0", UcxLibrary.Variable }) Assert.Contains(named, errors);
    }

    // Constant in UcxStructures, then what C says about it.
    private static readonly (string Constant, string Expression)[] Expected =
    [
        ("ContextBytes", "sizeof(ucp_params_t)"), ("ContextFeatures", "offsetof(ucp_params_t, features)"), ("ContextName", "offsetof(ucp_params_t, name)"),
        ("ContextFeaturesField", "UCP_PARAM_FIELD_FEATURES"), ("RmaFeature", "UCP_FEATURE_RMA"), ("WakeupFeature", "UCP_FEATURE_WAKEUP"), ("MessagesFeature", "UCP_FEATURE_AM"),
        ("WorkerBytes", "sizeof(ucp_worker_params_t)"), ("WorkerThreadMode", "offsetof(ucp_worker_params_t, thread_mode)"),
        ("WorkerThreadModeField", "UCP_WORKER_PARAM_FIELD_THREAD_MODE"), ("SerializedThreads", "UCS_THREAD_MODE_SERIALIZED"),
        ("EndpointBytes", "sizeof(ucp_ep_params_t)"), ("EndpointAddress", "offsetof(ucp_ep_params_t, address)"), ("EndpointErrorMode", "offsetof(ucp_ep_params_t, err_mode)"),
        ("EndpointErrorHandler", "offsetof(ucp_ep_params_t, err_handler.cb)"), ("EndpointErrorArgument", "offsetof(ucp_ep_params_t, err_handler.arg)"),
        ("EndpointAddressField", "UCP_EP_PARAM_FIELD_REMOTE_ADDRESS"), ("EndpointErrorModeField", "UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE"),
        ("EndpointErrorHandlerField", "UCP_EP_PARAM_FIELD_ERR_HANDLER"), ("PeerErrors", "UCP_ERR_HANDLING_MODE_PEER"),
        ("RequestBytes", "sizeof(ucp_request_param_t)"), ("RequestMask", "offsetof(ucp_request_param_t, op_attr_mask)"), ("RequestFlags", "offsetof(ucp_request_param_t, flags)"),
        ("RequestDatatype", "offsetof(ucp_request_param_t, datatype)"), ("RequestDatatypeField", "UCP_OP_ATTR_FIELD_DATATYPE"), ("RequestFlagsField", "UCP_OP_ATTR_FIELD_FLAGS"),
        ("EagerMessage", "UCP_AM_SEND_FLAG_EAGER"), ("ForcedClose", "UCP_EP_CLOSE_FLAG_FORCE"),
        ("PieceBytes", "sizeof(ucp_dt_iov_t)"), ("PieceLength", "offsetof(ucp_dt_iov_t, length)"), ("PiecesDatatype", "ucp_dt_make_iov()"),
        ("MemoryBytes", "sizeof(ucp_mem_map_params_t)"), ("MemoryAddress", "offsetof(ucp_mem_map_params_t, address)"), ("MemoryLength", "offsetof(ucp_mem_map_params_t, length)"),
        ("MemoryAddressField", "UCP_MEM_MAP_PARAM_FIELD_ADDRESS"), ("MemoryLengthField", "UCP_MEM_MAP_PARAM_FIELD_LENGTH"),
        ("HandlerBytes", "sizeof(ucp_am_handler_param_t)"), ("HandlerId", "offsetof(ucp_am_handler_param_t, id)"), ("HandlerFlags", "offsetof(ucp_am_handler_param_t, flags)"),
        ("HandlerCallback", "offsetof(ucp_am_handler_param_t, cb)"), ("HandlerArgument", "offsetof(ucp_am_handler_param_t, arg)"),
        ("HandlerIdField", "UCP_AM_HANDLER_PARAM_FIELD_ID"), ("HandlerFlagsField", "UCP_AM_HANDLER_PARAM_FIELD_FLAGS"), ("HandlerCallbackField", "UCP_AM_HANDLER_PARAM_FIELD_CB"),
        ("HandlerArgumentField", "UCP_AM_HANDLER_PARAM_FIELD_ARG"), ("WholeMessage", "UCP_AM_FLAG_WHOLE_MSG"), ("RendezvousMessage", "UCP_AM_RECV_ATTR_FLAG_RNDV"),
        ("Ok", "UCS_OK"), ("InProgress", "UCS_INPROGRESS"), ("Busy", "UCS_ERR_BUSY"), ("NoDevice", "UCS_ERR_NO_DEVICE"), ("Unreachable", "UCS_ERR_UNREACHABLE"),
        ("InvalidAddress", "UCS_ERR_INVALID_ADDR"), ("TimedOut", "UCS_ERR_TIMED_OUT"), ("EndpointTimeout", "UCS_ERR_ENDPOINT_TIMEOUT"), ("Rejected", "UCS_ERR_REJECTED"),
        ("NotConnected", "UCS_ERR_NOT_CONNECTED"), ("ConnectionReset", "UCS_ERR_CONNECTION_RESET"), ("Canceled", "UCS_ERR_CANCELED"), ("LastError", "UCS_ERR_LAST"),
    ];

    [Fact]
    public void Every_constant_is_held_against_the_header()
    {
        FieldInfo[] constants = typeof(UcxStructures).GetFields(BindingFlags.Static | BindingFlags.NonPublic);
        Assert.Equal(constants.Select(c => c.Name).Order(StringComparer.Ordinal), Expected.Select(e => e.Constant).Order(StringComparer.Ordinal));
    }

    [UcxHeadersFact]
    public void Sizes_offsets_and_bits_are_those_of_the_installed_header()
    {
        string[] values = UcxHeaders.Evaluate(Expected.Select(e => e.Expression));
        for (int i = 0; i < Expected.Length; i++)
        {
            (string constant, string expression) = Expected[i];
            object here = typeof(UcxStructures).GetField(constant, BindingFlags.Static | BindingFlags.NonPublic)!.GetRawConstantValue()!;
            long c = long.Parse(values[i], CultureInfo.InvariantCulture), ours = Convert.ToInt64(here, CultureInfo.InvariantCulture);
            // Structures grow behind their masks: ours may be the shorter one, as long as it has every field that is set.
            bool grows = constant is "ContextBytes" or "WorkerBytes" or "EndpointBytes" or "MemoryBytes" or "HandlerBytes";
            Assert.True(grows ? ours <= c : ours == c, $"{constant} is {ours}; {expression} is {c}.");
        }
    }
}
