/** What the widgets say, in the language that is set in ComfyUI. */
import { app } from "../../../scripts/app.js";

const ZH = {
  Reference: "参考图",
  Driver: "驱动",
  Result: "结果",
  "Reading the driver": "正在读取驱动视频",
  Drawing: "正在绘制",
  Writing: "正在写入",
  Play: "播放",
  Pause: "暂停",
  Frame: "帧",
  Loop: "循环",
  Speed: "速度",
  "Lead-in": "引入段",
  Padding: "补齐帧",
  Given: "已知",
  "Drawn by the model": "由模型绘制",
  "Show the mask": "显示遮罩",
  Caption: "描述",
  Motion: "动作",
  Appearance: "外观",
  Edit: "编辑",
  "Put this text into its field, where you can change it": "把这段文字放入对应的输入框以便修改",
  "Sound on or off": "声音开关",
  "These clips have no sound": "这些片段没有声音",
  "Wipe between driver and result": "驱动与结果的划像对比",
  "Position of the wipe": "划像位置",
  "Run the graph: the reference, the driver and the result play here.":
    "运行工作流后，参考图、驱动视频和结果将在此同步播放。",
  "Run the graph: the composite and its mask are shown here.":
    "运行工作流后，合成画面及其遮罩将显示在此。",
  "These preview files are gone: ComfyUI clears them when it restarts. Run the graph again.":
    "预览文件已不存在：ComfyUI 重启时会清除它们。请重新运行工作流。",
  "This browser cannot play H.264 video. The files themselves are fine: use SaveVideo.":
    "此浏览器无法播放 H.264 视频。文件本身没有问题：请用 SaveVideo 保存后查看。",
};

const JA = {
  Reference: "参照画像",
  Driver: "ドライバー",
  Result: "結果",
  "Reading the driver": "駆動動画を読み込み中",
  Drawing: "描画中",
  Writing: "書き込み中",
  Play: "再生",
  Pause: "一時停止",
  Frame: "フレーム",
  Loop: "ループ",
  Speed: "速度",
  "Lead-in": "導入部",
  Padding: "埋め合わせフレーム",
  Given: "既知",
  "Drawn by the model": "モデルが描画",
  "Show the mask": "マスクを表示",
  Caption: "キャプション",
  Motion: "動き",
  Appearance: "外見",
  Edit: "編集",
  "Put this text into its field, where you can change it": "このテキストを入力欄に移して編集できるようにします",
  "Sound on or off": "音声のオン・オフ",
  "These clips have no sound": "これらの動画には音声がありません",
  "Wipe between driver and result": "ドライバーと結果のワイプ比較",
  "Position of the wipe": "ワイプの位置",
  "Run the graph: the reference, the driver and the result play here.":
    "ワークフローを実行すると、参照画像、駆動動画、結果がここで同時に再生されます。",
  "Run the graph: the composite and its mask are shown here.": "ワークフローを実行すると、合成画面とそのマスクがここに表示されます。",
  "These preview files are gone: ComfyUI clears them when it restarts. Run the graph again.":
    "プレビューファイルがありません。ComfyUI は再起動時に消去します。ワークフローをもう一度実行してください。",
  "This browser cannot play H.264 video. The files themselves are fine: use SaveVideo.":
    "このブラウザーは H.264 動画を再生できません。ファイルに問題はありません。SaveVideo で保存してください。",
};

const KO = {
  Reference: "참조 이미지",
  Driver: "구동 비디오",
  Result: "결과",
  "Reading the driver": "구동 비디오 읽는 중",
  Drawing: "그리는 중",
  Writing: "쓰는 중",
  Play: "재생",
  Pause: "일시 정지",
  Frame: "프레임",
  Loop: "반복",
  Speed: "속도",
  "Lead-in": "도입부",
  Padding: "채움 프레임",
  Given: "주어진 부분",
  "Drawn by the model": "모델이 그린 부분",
  "Show the mask": "마스크 표시",
  Caption: "캡션",
  Motion: "동작",
  Appearance: "외형",
  Edit: "편집",
  "Put this text into its field, where you can change it": "이 텍스트를 입력란에 넣어 수정할 수 있게 합니다",
  "Sound on or off": "소리 켜기/끄기",
  "These clips have no sound": "이 클립에는 소리가 없습니다",
  "Wipe between driver and result": "구동 비디오와 결과의 와이프 비교",
  "Position of the wipe": "와이프 위치",
  "Run the graph: the reference, the driver and the result play here.":
    "워크플로를 실행하면 참조 이미지, 구동 비디오, 결과가 여기에서 함께 재생됩니다.",
  "Run the graph: the composite and its mask are shown here.": "워크플로를 실행하면 합성 화면과 마스크가 여기에 표시됩니다.",
  "These preview files are gone: ComfyUI clears them when it restarts. Run the graph again.":
    "미리보기 파일이 없습니다. ComfyUI는 다시 시작할 때 이를 지웁니다. 워크플로를 다시 실행하십시오.",
  "This browser cannot play H.264 video. The files themselves are fine: use SaveVideo.":
    "이 브라우저는 H.264 비디오를 재생할 수 없습니다. 파일에는 문제가 없습니다. SaveVideo로 저장하십시오.",
};

const WORDS = { zh: ZH, ja: JA, ko: KO };

/** An English phrase in the language set in ComfyUI. */
export function say(english) {
  const locale = app.extensionManager?.setting?.get("Comfy.Locale");
  return WORDS[locale]?.[english] || english;
}
