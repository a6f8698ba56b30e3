/*
 * What the engine refuses: limits, demuxers, decoders, encoders, muxers, bitstream filters.
 * Filters have a file of their own, policy_filters.c.
 *
 * Every list here names what is allowed, never what isn't: a format or codec that a later libav
 * adds is refused until somebody has looked at it. Names that the linked libav doesn't have do no
 * harm. Pure functions over constant tables; any thread may call them.
 */
#include "engine/policy.h"

#include <ctype.h>
#include <libavcodec/avcodec.h>
#include <libavutil/avstring.h>
#include <libavutil/dict.h>
#include <libavutil/mem.h>
#include <string.h>

#include "engine/policy_internal.h"

void policy_limits_init(struct policy_limits *limits)
{
    *limits = (struct policy_limits){
        .max_alloc = INT64_C(512) << 20,
        .max_pixels = INT64_C(8192) * 8192,
        .max_streams = 32,
        .max_output_bytes = INT64_C(64) << 30,
        .max_nodes = 4096,
        .max_pixel_rate = 7680.0 * 4320 * 120,
        .max_frames = INT64_C(24) * 3600 * 120,
        .max_spool_bytes = INT64_C(4) << 30,
    };
}

bool policy_listed(const char *name, const char *list)
{
    size_t length = strlen(name);
    if (strchr(name, ' ')) {
        return false;
    }
    for (const char *p = list; length && (p = strstr(p, name)); p += length) {
        bool starts = p == list || p[-1] == ' ';
        if (starts && (p[length] == ' ' || !p[length])) {
            return true;
        }
    }
    return false;
}

/* Formats that open other files or the network by what they contain are not here (hls, dash,
 * concat, sdp, rtsp, imf, image2, vobsub, ...), nor those without a signature (raw PCM), nor
 * game formats that nobody sends but an attacker. */
const char *policy_demuxers(void)
{
    return "aac,ac3,eac3,aiff,amr,amrnb,amrwb,ape,apng,asf,asf_o,ass,au,av1,avi,caf,dff,dnxhd,dsf,"
           "dts,dtshd,dv,flac,flv,gif,gsm,gxf,h261,h263,h264,hevc,vvc,iff,ipu,ivf,jpegxl_anim,loas,"
           "m4v,matroska,webm,mjpeg,mlp,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,"
           "mxf,nut,obu,ogg,oma,rm,sbc,smjpeg,srt,sup,tak,truehd,tta,vc1,vc1test,voc,w64,wav,"
           "webvtt,wtv,wv,xwma,yuv4mpegpipe,"
           /* text subtitles */
           "jacosub,microdvd,mpl2,mpsub,pjs,realtext,sami,scc,stl,subviewer,subviewer1,vplayer,"
           /* still pictures */
           "bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,gem_pipe,gif_pipe,hdr_pipe,ico,j2k_pipe,jpeg_pipe,"
           "jpegls_pipe,jpegxl_pipe,pam_pipe,pbm_pipe,pcx_pipe,pfm_pipe,pgm_pipe,phm_pipe,png_pipe,"
           "ppm_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp_pipe,xbm_pipe,xpm_pipe,"
           "xwd_pipe";
}

/* Software decoders of what people have. svg is missing on purpose: it costs seconds by the
 * kilobyte, and draws text with the system's fonts. */
const char *policy_decoders(void)
{
    return /* video */
        "h264,hevc,vvc,libdav1d,libaom-av1,vp9,libvpx-vp9,vp8,libvpx,vp3,vp4,vp5,vp6,vp6a,vp6f,vp7,"
        "theora,mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h261,h263,h263i,"
        "h263p,flv,flashsv,flashsv2,wmv1,wmv2,wmv3,wmv3image,vc1,vc1image,mss1,mss2,wnv1,rv10,rv20,"
        "rv30,rv40,svq1,svq3,cinepak,indeo2,indeo3,indeo4,indeo5,mjpeg,mjpegb,ljpeg,sp5x,amv,"
        "prores,dnxhd,dvvideo,cfhd,hap,hq_hqa,hqx,cllc,notchlc,speedhq,aic,dirac,pixlet,avui,avrp,"
        "avrn,ayuv,v210,v210x,v308,v408,v410,r10k,r210,y41p,yuv4,rawvideo,bitpacked,uyvy422,"
        "ffv1,ffvhuff,huffyuv,hymt,utvideo,lagarith,magicyuv,lscr,loco,fraps,zlib,mszh,zmbv,"
        "camstudio,camtasia,tscc2,g2m,rscc,screenpresso,fic,qtrle,rpza,smc,8bps,msrle,msvideo1,"
        "cljr,"
        "asv1,asv2,aasc,ultimotion,vcr1,xl,media100,snow,ipu,imm4,imm5,cavs,"
        /* pictures */
        "png,apng,gif,bmp,webp,tiff,jpeg2000,libopenjpeg,jpegls,libjxl,targa,dds,dpx,exr,gem,hdr,"
        "pam,pbm,pcx,pfm,pgm,pgmyuv,phm,ppm,psd,qoi,sgi,sunrast,xbm,xpm,xwd,"
        /* sound */
        "aac,aac_fixed,aac_latm,ac3,ac3_fixed,eac3,dca,mp1,mp1float,mp2,mp2float,mp3,mp3float,"
        "mp3adu,mp3adufloat,mp3on4,mp3on4float,flac,alac,als,vorbis,libvorbis,opus,libopus,speex,"
        "libspeex,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,truehd,mlp,ape,tak,tta,wavpack,"
        "shorten,mpc7,mpc8,wmav1,wmav2,wmapro,wmalossless,wmavoice,xma1,xma2,cook,ralf,sipr,"
        "real_144,real_288,atrac1,atrac3,atrac3al,atrac3plus,atrac3plusal,atrac9,qdm2,qdmc,mace3,"
        "mace6,nellymoser,metasound,qcelp,evrc,ilbc,libilbc,gsm,gsm_ms,libgsm,libgsm_ms,g722,"
        "g723_1,g726,g726le,g729,sbc,aptx,aptx_hd,s302m,dvaudio,imc,iac,on2avc,osq,bonk,"
        "truespeech,dst,dsd_lsbf,dsd_lsbf_planar,dsd_msbf,dsd_msbf_planar,8svx_exp,8svx_fib,"
        "adpcm_adx,adpcm_ct,adpcm_g722,adpcm_g726,adpcm_g726le,adpcm_ima_amv,adpcm_ima_apc,"
        "adpcm_ima_qt,adpcm_ima_rad,adpcm_ima_smjpeg,adpcm_ima_wav,adpcm_ms,adpcm_sbpro_2,"
        "adpcm_sbpro_3,adpcm_sbpro_4,adpcm_swf,adpcm_xa,adpcm_yamaha,"
        "pcm_alaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
        "pcm_lxf,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,"
        "pcm_s24daud,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,"
        "pcm_s64le,pcm_s8,pcm_s8_planar,pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,"
        "pcm_u32le,pcm_u8,pcm_vidc,"
        /* subtitles */
        "ass,ssa,srt,subrip,mov_text,webvtt,text,cc_dec,jacosub,microdvd,mpl2,pjs,realtext,sami,"
        "stl,subviewer,subviewer1,vplayer,dvbsub,dvdsub,pgssub,xsub";
}

const AVCodec *policy_decoder(int codec_id)
{
    void *state = NULL;
    for (const AVCodec *codec; (codec = av_codec_iterate(&state));) {
        if ((int)codec->id == codec_id && av_codec_is_decoder(codec) &&
            !(codec->capabilities & AV_CODEC_CAP_EXPERIMENTAL) &&
            av_match_list(codec->name, policy_decoders(), ',') > 0) {
            return codec;
        }
    }
    return NULL;
}

/* Software encoders that need no strict=experimental and write to nothing but their packets. */
static const char encoders[] =
    "libx264 libx264rgb libopenh264 libx265 libkvazaar libsvtav1 libaom-av1 librav1e libvpx-vp9 "
    "libvpx libxvid mpeg4 mpeg2video mpeg1video libtheora mjpeg ljpeg jpegls prores prores_aw "
    "prores_ks dnxhd dvvideo cfhd hap ffv1 ffvhuff huffyuv utvideo magicyuv rawvideo v210 v308 "
    "v408 "
    "v410 r10k r210 yuv4 y41p vc2 snow h261 h263 h263p flv flashsv flashsv2 msmpeg4v2 msmpeg4 wmv1 "
    "wmv2 svq1 cinepak qtrle rpza zmbv zlib asv1 asv2 speedhq rv10 rv20 msvideo1 "
    "png apng gif bmp tiff libwebp libwebp_anim jpeg2000 libopenjpeg libjxl qoi targa sgi pam pbm "
    "pcx pfm pgm phm ppm dpx exr xbm xwd sunrast "
    "aac libfdk_aac ac3 ac3_fixed eac3 libmp3lame libshine mp2 mp2fixed libtwolame flac alac "
    "libvorbis libopus libspeex wavpack tta wmav1 wmav2 g722 g723_1 g726 g726le libgsm libgsm_ms "
    "libopencore_amrnb libvo_amrwbenc libilbc nellymoser aptx aptx_hd sbc adpcm_ima_qt "
    "adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha adpcm_adx "
    "pcm_alaw pcm_mulaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_s16be pcm_s16le pcm_s24be "
    "pcm_s24le pcm_s32be pcm_s32le pcm_s64be pcm_s64le pcm_s8 pcm_u8 pcm_u16be pcm_u16le pcm_u24be "
    "pcm_u24le pcm_u32be pcm_u32le pcm_bluray pcm_dvd pcm_s16le_planar pcm_s16be_planar "
    "pcm_s24le_planar pcm_s32le_planar pcm_s8_planar "
    "ass ssa srt subrip mov_text webvtt text ttml dvbsub dvdsub";

/* One file each, written through our own AVIOContext; nothing that makes names of its own
 * (segment, hls, dash, tee, image2) except image2pipe. */
static const char muxers[] =
    "mp4 mov ipod 3gp 3g2 ismv f4v psp matroska webm avi mpegts mpeg vob dvd flv ogg oga ogv opus "
    "spx "
    "mp3 mp2 adts latm wav w64 flac ac3 eac3 aiff caf au amr tta wv asf mxf nut gif apng webp "
    "image2pipe mjpeg ivf obu h264 hevc m4v yuv4mpegpipe srt ass webvtt ttml sup null avif rm dv "
    "truehd dts";

static const char bitstream_filters[] =
    "aac_adtstoasc av1_frame_merge av1_frame_split av1_metadata chomp dca_core dts2pts dump_extra "
    "eac3_core evc_frame_merge extract_extradata filter_units h264_metadata h264_mp4toannexb "
    "h264_redundant_pps hapqa_extract hevc_metadata hevc_mp4toannexb imxdump media100_to_mjpegb "
    "mjpeg2jpeg mjpegadump mov2textsub mp3decomp mpeg2_metadata mpeg4_unpack_bframes null "
    "opus_metadata pcm_rechunk pgs_frame_merge prores_metadata remove_extra setts text2movsub "
    "truehd_core vp9_metadata vp9_raw_reorder vp9_superframe vp9_superframe_split vvc_metadata "
    "vvc_mp4toannexb";

/* Encoder options that name files or devices, whichever encoder has them. */
static const char refused_options[] =
    "stats passlogfile device gpu hw_device_ctx hwaccel_flags extra_hw_frames codec_whitelist "
    "dump_separator debug export_side_data sub_charenc qpfile aq_file film_grain_table";

/* Options whose value is a list of the library's own options. */
static const char nested_options[] = "x264-params x264opts x264_params x265-params aom-params "
                                     "svtav1-params rav1e-params kvazaar-params xavs2-params "
                                     "vvenc-params";

/* Keys inside of those that name a file to read or write, a program, or a device. */
static const char refused_keys[] =
    /* x264 */
    "pass stats log-file dump-yuv qpfile cqmfile cqm opencl opencl-clbin opencl-device clbin-file "
    "tcfile-in "
    "tcfile-out index "
    /* x265 */
    "csv recon recon-y4m-exec analysis-save analysis-load analysis-reuse-file scaling-list "
    "lambda-file dhdr10-info dolby-vision-rpu zonefile film-grain aom-film-grain abr-ladder "
    "nalu-file numa-pools pools input output "
    /* aom, SVT-AV1 */
    "film-grain-table fgs-table film-grain-test vmaf-model-path rate-distribution-info "
    "partition-info-path second-pass-log fpf two-pass-input two-pass-output stat-file errlog "
    "pred-struct-file roi-map-file qp-file config";

/* A key with one of these in it is refused as well, for those that later versions bring. */
static const char *const refused_parts[] = {"file", "path",  "exec", "dump",
                                            "csv",  "table", "log",  "recon"};
/* ... except these, which only look alike. */
static const char allowed_keys[] = "log log-level log2-max-poc-lsb profile";

bool policy_encoder(const char *encoder, struct error *e)
{
    if (policy_listed(encoder, encoders)) {
        return true;
    }
    error_set(e, ERROR_INVALID_OPTION, "encoder '%s' is not allowed", encoder);
    error_place(e, "codec", encoder, NULL);
    return false;
}

static bool key_refused(const char *key)
{
    char name[64];
    size_t length = strlen(key);
    if (length >= sizeof name) {
        return true;
    }
    for (size_t i = 0; i <= length; i++) {
        name[i] = key[i] == '_' ? '-' : (char)tolower((unsigned char)key[i]);
    }
    const char *bare = !strncmp(name, "no-", 3) ? name + 3 : name;
    if (policy_listed(bare, allowed_keys)) {
        return false;
    }
    if (policy_listed(bare, refused_keys)) {
        return true;
    }
    for (size_t i = 0; i < sizeof refused_parts / sizeof *refused_parts; i++) {
        if (strstr(bare, refused_parts[i])) {
            return true;
        }
    }
    return false;
}

/* The keys of "a=1:b=2", read as libav reads them (quotes and backslashes) and refused if that
 * could be read in two ways. */
static bool nested_allowed(const char *option, const char *value, struct error *e)
{
    if (strpbrk(value, "'\\\"\n\r")) {
        error_set(e, ERROR_INVALID_OPTION, "option '%s' must not contain quotes or backslashes",
                  option);
        error_place(e, option, value, "key=value:key=value");
        return false;
    }
    const char *p = value;
    while (*p) {
        size_t length = strcspn(p, ":");
        char pair[256];
        if (length >= sizeof pair) {
            error_set(e, ERROR_INVALID_OPTION, "option '%s' has an entry that is too long", option);
            error_place(e, option, value, "key=value:key=value");
            return false;
        }
        memcpy(pair, p, length);
        pair[length] = '\0';
        char *key = pair + strspn(pair, " \t");
        key[strcspn(key, "= \t")] = '\0';
        if (*key && key_refused(key)) {
            error_set(e, ERROR_INVALID_OPTION,
                      "'%s' in option '%s' is refused: it can name a file, program or device", key,
                      option);
            error_place(e, option, value, NULL);
            return false;
        }
        p += length;
        p += *p == ':';
    }
    return true;
}

bool policy_encoder_option(const char *encoder, const char *option, const char *value,
                           struct error *e)
{
    if (policy_listed(option, refused_options)) {
        error_set(e, ERROR_INVALID_OPTION,
                  "option '%s' of encoder '%s' is refused: it can name a file or device", option,
                  encoder);
        error_place(e, option, value, NULL);
        return false;
    }
    if (!policy_expression(option, value, e)) {
        return false;
    }
    return !policy_listed(option, nested_options) || nested_allowed(option, value, e);
}

bool policy_muxer(const char *muxer, struct error *e)
{
    if (policy_listed(muxer, muxers)) {
        return true;
    }
    error_set(e, ERROR_INVALID_OPTION, "container '%s' is not allowed", muxer);
    error_place(e, "format", muxer, NULL);
    return false;
}

bool policy_bsf(const char *bsf, struct error *e)
{
    if (policy_listed(bsf, bitstream_filters)) {
        return true;
    }
    error_set(e, ERROR_INVALID_OPTION, "bitstream filter '%s' is not allowed", bsf);
    error_place(e, "bsf", bsf, NULL);
    return false;
}
